"""The programs that are needed beside Python: where they are, their versions, how to get them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

_PACKAGES = {"nginx": "nginx-light", "wrk": "wrk"}
_MORE_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")


class ToolMissing(Exception):
    """A program is not there, or cannot do what is needed."""


@dataclass(frozen=True, slots=True)
class Tools:
    nginx: str
    wrk: str


def find_tools(install: bool) -> Tools:
    missing = [name for name in _PACKAGES if _find(name) is None]
    if missing:
        command = _install_command(missing)
        if not install:
            raise ToolMissing(
                f"missing: {', '.join(missing)}; run `{' '.join(command)}` or give --install"
            )
        subprocess.run(command, check=True)
    return Tools(nginx=_require("nginx"), wrk=_require("wrk"))


def first_line(*argv: str) -> str:
    """The first line a program prints about itself, wherever it prints it."""
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return (done.stdout.splitlines() or ["unknown"])[0].strip()


def nginx_build(nginx: str) -> str:
    """The configure arguments. Raises: ToolMissing for a build that has no PUT."""
    build = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    if "--with-http_dav_module" not in build:
        raise ToolMissing(f"{nginx} is built without http_dav_module, so it has no PUT")
    return build


def _find(name: str) -> str | None:
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *_MORE_PLACES))
    return shutil.which(name, path=places)


def _require(name: str) -> str:
    found = _find(name)
    if found is None:
        raise ToolMissing(f"{name} is still missing after the installation")
    return found


def _install_command(names: list[str]) -> list[str]:
    packages = [_PACKAGES[name] for name in names]
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    return [*sudo, "apt-get", "install", "--yes", "--no-install-recommends", *packages]
