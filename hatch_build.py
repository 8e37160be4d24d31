"""Build hook: with MOGSTORED_COMPILE=1, compile the hot modules with mypyc into the wheel.

Without it the hook asks for nothing and does nothing, and the wheel is the pure one that runs
everywhere. With it, the wheel is of one Python version and one platform, and holds a compiled
module beside the source of each of `MODULES`; Python prefers the former, and a traceback quotes
the latter. What is built is built from a copy, so that the checkout stays as it is.

docs/performance.md says which modules gain by it, and what was measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "MOGSTORED_COMPILE"

# The set that gained most where it was measured; see docs/performance.md.
MODULES = (
    "mogpoll/workers.py",
    "mogstored/connection.py",
    "mogstored/http/dates.py",
    "mogstored/http/hot.py",
    "mogstored/http/hot_put.py",
    "mogstored/http/request.py",
    "mogstored/http/response.py",
    "mogstored/http/session.py",
    # Not hot: who inherits from a compiled class must be compiled as well.
    "mogstored/sidechannel/session.py",
    "mogstored/storage/device.py",
    "mogstored/storage/docroot.py",
    "mogstored/storage/open_files.py",
    "mogstored/storage/paths.py",
)

# Older ones may do, and were not tried.
_NEEDED = ["mypy>=2.4", "setuptools>=65.5"]

# Types are checked by the project's own run of mypy, which has the libraries' stubs at hand.
_MYPY_OPTIONS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")


class CannotCompile(Exception):
    """A compiled build was asked for, and cannot be had."""


class CompileHook(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel that is being built."""

    def dependencies(self) -> list[str]:
        return list(_NEEDED) if is_asked_for() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not is_asked_for():
            return
        if version == "editable":
            raise CannotCompile(
                f"{SWITCH}=1 and an editable installation exclude each other: the compiled "
                f"modules would not follow the sources. Unset {SWITCH}, or install without -e."
            )
        check_tools()
        self._place = tempfile.TemporaryDirectory(prefix="mogstored-mypyc-")
        built = compile_copy(Path(self.root), Path(self._place.name))
        build_data["force_include"].update({str(path): name for name, path in built.items()})
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if is_asked_for():
            self._place.cleanup()


def is_asked_for() -> bool:
    """Say whether the environment asks for a compiled build.

    **Raises:** `CannotCompile` for a value that is neither yes nor no.
    """
    value = os.environ.get(SWITCH, "")
    if value not in ("", "0", "1"):
        raise CannotCompile(f"{SWITCH}={value!r} is neither 1 (compile) nor 0 (do not)")
    return value == "1"


def check_tools() -> None:
    """Find what compiling needs, before mypyc would fail in its own words.

    **Raises:** `CannotCompile` for what is missing, and where the result would not be safe.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        # Its modules say that they do without the lock, "to enable experimentation", and
        # attributes that two threads touch are not safe in memory:
        # https://github.com/python/mypy/pull/19167
        raise CannotCompile(
            f"{SWITCH}=1: mypyc does not make safe code for an interpreter without its lock; "
            f"unset {SWITCH} for this Python, which the pure build suits"
        )
    for name, package in (("mypyc", "mypy"), ("setuptools", "setuptools")):
        asked = subprocess.run(
            [sys.executable, "-c", f"import {name}"], capture_output=True, check=False
        )
        if asked.returncode:
            raise CannotCompile(
                f"{SWITCH}=1 needs {package}, which is not installed for {sys.executable}"
            )
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise CannotCompile(f"{SWITCH}=1 needs a C compiler, and there is no {compiler}")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        raise CannotCompile(f"{SWITCH}=1 needs Python's header files, and there is no {header}")


def compile_copy(root: Path, place: Path) -> dict[str, Path]:
    """Compile `MODULES` in a copy of the packages; return what was made, by its place in a wheel.

    **Raises:** `CannotCompile` with what mypyc printed.
    """
    for package in ("mogpoll", "mogstored"):
        shutil.copytree(
            root / package,
            place / package,
            ignore=shutil.ignore_patterns("__pycache__", "*.so"),
        )
    command = [sys.executable, "-m", "mypyc", *_MYPY_OPTIONS, *MODULES]
    done = subprocess.run(
        command,
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # What it makes on the way lies below `build`.
    made = [path for path in place.rglob("*.so") if path.relative_to(place).parts[0] != "build"]
    # One for each module, and one that holds the code of all.
    if done.returncode or len(made) != len(MODULES) + 1:
        raise CannotCompile(f"mypyc failed:\n{done.stdout}")
    return {path.relative_to(place).as_posix(): path for path in made}
