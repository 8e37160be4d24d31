"""The programs that are measured or needed: where they are, which they are, how to get them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

_PACKAGES = {"nginx": "nginx-light", "wrk": "wrk"}
_MORE_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_ABOUT = (
    "import importlib.metadata as m, os, platform, sys, mogstored as p\n"
    "try: v = m.version('mogstored')\n"
    "except m.PackageNotFoundError: v = 'not installed'\n"
    "gil = getattr(sys, '_is_gil_enabled', lambda: True)()\n"
    "print(os.path.dirname(p.__file__), platform.python_implementation(),"
    " platform.python_version(), '' if gil else 'free-threaded', 'mogstored', v)"
)


class ToolMissing(Exception):
    """A program is missing or cannot do what is needed; the text says how to get it."""


@dataclass(frozen=True, slots=True)
class Node:
    """How a mogstored is started: an interpreter, and variables beside our own."""

    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)

    def about(self) -> tuple[Path, str]:
        """Where its package is, with versions. Raises: ToolMissing."""
        done = subprocess.run(
            [self.python, "-c", _ABOUT],
            cwd="/",
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ToolMissing(
                f"{self.python} cannot import mogstored: install it first "
                f"(`{self.python} -m pip install .`)\n{done.stderr}"
            )
        package, *rest = done.stdout.split()
        return Path(package), f"{' '.join(rest)} in {package}"


def node_of(checkout: Path) -> Node:
    """The node of another checkout: by its own .venv, or by PYTHONPATH. Raises: ToolMissing."""
    python = checkout / ".venv/bin/python"
    if python.exists():
        node = Node(str(python), {"PYTHONPATH": ""})
    else:
        node = Node(sys.executable, {"PYTHONPATH": str(checkout)})
    package, about = node.about()
    if not package.resolve().is_relative_to(checkout.resolve()):
        raise ToolMissing(
            f"--against {checkout}: the node that starts there is another one, {about}; "
            f"install that checkout into its own venv (`{python} -m pip install -e {checkout}`)"
        )
    return node


def find(names: Collection[str], install: bool) -> dict[str, str]:
    """The paths of programs, by name. Raises: ToolMissing with the command that installs them."""
    missing = [name for name in names if _which(name) is None]
    if missing:
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        packages = [_PACKAGES[name] for name in missing]
        command = [*sudo, "apt-get", "install", "--yes", "--no-install-recommends", *packages]
        if not install:
            raise ToolMissing(
                f"{', '.join(missing)} not found: run `{' '.join(command)}`, or give --install"
            )
        subprocess.run(command, check=True)
    found = {name: path for name in names if (path := _which(name)) is not None}
    if still := set(names) - found.keys():
        raise ToolMissing(f"{', '.join(still)} not found after the installation")
    return found


def version(*argv: str) -> str:
    """The first line that a program prints about itself, to stdout or stderr."""
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return (done.stdout.splitlines() or ["unknown"])[0].partition(" Copyright")[0].strip()


def nginx_build(nginx: str) -> str:
    """The configure arguments. Raises: ToolMissing for a build that has no PUT."""
    build = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    if "--with-http_dav_module" not in build:
        raise ToolMissing(f"{nginx} is built without http_dav_module, so it has no PUT")
    return build


def _which(name: str) -> str | None:
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *_MORE_PLACES))
    return shutil.which(name, path=places)
