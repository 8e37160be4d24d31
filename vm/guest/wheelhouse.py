"""All packages that pip installs in a guest without internet, downloaded on this host.

Linux guests get wheels. The BSDs have no wheels of compiled packages: they get their sources with
the build tools, and pure wheels of everything else. pip fails here on any other compiled package,
for instance when a dependency of the suite or of tox moves to Rust.
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
from vm.paths import ROOT
from vm.progress import step

_TOX = "tox>=4.24"
# In C, and without wheels for the BSDs; the second line builds them.
_COMPILED = ("httptools", "psutil", "PyYAML", "setproctitle")
_BUILDERS = ("setuptools", "wheel", "cython")
# Pure Python, but published as a source only: the wheel is built here, for all systems.
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
    needs = _project()["project"]["dependencies"]
    if system != "debian":
        sources = ("--no-deps", "--no-binary", ",".join(_COMPILED))
        _pip("download", "--dest", str(into), *sources, *_COMPILED)
        group = _group_without(_COMPILED)
        pure = _without(_COMPILED, needs)
        _pip("download", *_for_guest(into, python, "any"), *_BUILDERS, *pure, *group, _TOX)
    else:
        group = ["--group", f"{ROOT / 'pyproject.toml'}:test"]
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
    """Return the requirements of a dependency group except those of some packages."""
    found: list[str] = []
    for entry in _project()["dependency-groups"][group]:
        if isinstance(entry, dict):
            found += _group_without(names, entry["include-group"])
        else:
            found += _without(names, [entry])
    return found


def _without(names: tuple[str, ...], requirements: list[str]) -> list[str]:
    begins = tuple(name.lower() for name in names)
    return [each for each in requirements if not each.lower().startswith(begins)]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd="/", env={**os.environ, "PYTHONSAFEPATH": "1"}, check=False)
    if done.returncode != 0:
        raise VMError(
            f"pip {arguments[0]} failed with status {done.returncode}",
            "See its message above. Packages for --offline guests come over this host's network.",
        )
