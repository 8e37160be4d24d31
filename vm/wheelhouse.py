"""Everything that pip has to install in a guest without internet, gathered on this host.

Linux guests get wheels. FreeBSD has no wheels of compiled packages, so it gets their sources and
what builds those; whatever else comes in for FreeBSD must be pure Python, or pip stops here. That
makes this the check that no dependency of the suite or of tox has turned to Rust.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from vm.errors import VMError
from vm.place import ROOT
from vm.progress import step

_TOX = "tox>=4.24"
# In C, and without wheels for FreeBSD; the second line builds them.
_COMPILED = ("httptools", "psutil", "PyYAML", "setproctitle")
_BUILDERS = ("setuptools", "wheel", "cython")
# Published as a source only, though in Python: the wheel is built here and serves everywhere.
_NO_WHEEL = ("pymogilefs",)
_LINUX = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def gather(system: str, python: str, into: Path) -> None:
    """Fill the directory for a guest of the system with that Python, like `3.12`."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    step(into.parent.name, f"gathering packages for {system}, Python {python}")
    _pip("wheel", "--no-deps", "--wheel-dir", str(into), *_NO_WHEEL)
    if odd := [path.name for path in into.iterdir() if not path.name.endswith("-none-any.whl")]:
        raise VMError(f"not pure Python: {', '.join(odd)}")
    if system == "freebsd":
        sources = ("--no-deps", "--no-binary", ",".join(_COMPILED))
        _pip("download", "--dest", str(into), *sources, *_COMPILED)
        group = _group_without(_COMPILED)
        _pip("download", *_for_guest(into, python, "any"), *_BUILDERS, *group, _TOX)
    else:
        group = ["--group", f"{ROOT / 'pyproject.toml'}:test"]
        needs = _project()["project"]["dependencies"]
        _pip("download", *_for_guest(into, python, *_LINUX), *group, *needs, _TOX)


def _for_guest(into: Path, python: str, *platforms: str) -> list[str]:
    chosen = ["--dest", str(into), "--find-links", str(into), "--only-binary", ":all:"]
    chosen += ["--python-version", python, "--implementation", "cp"]
    for platform in platforms:
        chosen += ["--platform", platform]
    return chosen


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _group_without(names: tuple[str, ...], group: str = "test") -> list[str]:
    """Return the requirements of a dependency group, save those of some packages."""
    found: list[str] = []
    for entry in _project()["dependency-groups"][group]:
        if isinstance(entry, dict):
            found += _group_without(names, entry["include-group"])
        elif not entry.lower().startswith(tuple(name.lower() for name in names)):
            found.append(entry)
    return found


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd="/", env={**os.environ, "PYTHONSAFEPATH": "1"}, check=False)
    if done.returncode != 0:
        raise VMError(
            f"pip {arguments[0]} failed with status {done.returncode}",
            "Its message stands above. This host needs the network for --offline guests, once.",
        )
