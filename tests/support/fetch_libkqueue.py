"""Obtain libkqueue from Debian's archive, to run the kqueue backend on Linux.

    python -m tests.support.fetch_libkqueue [--into DIR]

prints the path of a library that works, and nothing else, on standard output. On a system with
a kqueue of its own it prints nothing and succeeds. The package comes from the archive that the
machine's own apt uses, or from the one that DEBIAN_MIRROR names. Nothing is installed and no
setting of the machine is touched: apt runs with sources, lists and caches of its own, which are
removed again.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.debian_archive import MIRROR, archive, flaw_of_machine, run, say, set_up

NAME = "libkqueue.so.0"
VARIABLE = "MOGPOLL_LIBKQUEUE"
# Only experimental has it today. The other suites are searched only if it leaves there.
SUITES = ("experimental", "unstable", "testing", "stable")
# The package's name since the change to 64-bit time, and before.
PACKAGES = ("libkqueue0t64", "libkqueue0")
DEFAULT_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "libkqueue"

# In a process of its own: a broken library may well crash.
_PROBE = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.kevent
sys.exit("kqueue() failed" if library.kqueue() < 0 else 0)
"""


class Unobtainable(Exception):
    """The library cannot be had; the message lists what was tried."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.fetch_libkqueue",
        description="Obtain libkqueue from Debian's archive and print its path.",
    )
    parser.add_argument("--into", type=Path, default=DEFAULT_CACHE, metavar="DIR")
    into: Path = parser.parse_args(arguments).into
    if hasattr(select, "kqueue"):
        return 0
    try:
        print(obtain(into))
    except (Unobtainable, OSError, subprocess.SubprocessError) as error:
        print(
            f"libkqueue cannot be obtained:\n{error}\n"
            f"Build or copy a {NAME} for this machine and name it: {VARIABLE}=/path/{NAME}",
            file=sys.stderr,
        )
        return 1
    return 0


def obtain(into: Path) -> Path:
    """Return the library the environment names, the cached one, or a new one put in `into`."""
    cached = into.absolute() / NAME
    tried = []
    if named := os.environ.get(VARIABLE):
        if (flaw := flaw_of(Path(named))) is None:
            return Path(named).absolute()
        tried.append(f"- {VARIABLE}={named}: {flaw}")
    into.mkdir(parents=True, exist_ok=True)
    with (into / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test environments may start side by side
        if cached.exists():
            if (flaw := flaw_of(cached)) is None:
                return cached
            tried.append(f"- {cached}: {flaw}")
        for flaw in _fetch(cached):
            tried.append(flaw)
            say(flaw)
    if (flaw := flaw_of(cached)) is not None:
        raise Unobtainable("\n".join([*tried, f"- {cached}: {flaw}"]))
    return cached


def flaw_of(library: Path) -> str | None:
    """Return what is wrong with `library`, or None."""
    if not library.exists():
        return "no such file"
    probe = subprocess.run(
        [sys.executable, "-c", _PROBE, str(library.absolute())],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if probe.returncode == 0:
        return None
    return (probe.stderr.strip().splitlines() or [f"killed, status {probe.returncode}"])[-1]


def _fetch(target: Path) -> Iterator[str]:
    """Put the library at `target` from the first suite that has one; yield the failures."""
    if flaw := flaw_of_machine("apt-get", "dpkg-deb"):
        yield f"- Debian's archive: {flaw}"
        return
    address = archive()
    if address is None:
        yield f"- Debian's archive: apt knows none on this machine; {MIRROR} can name one"
        return
    for suite in SUITES:
        with tempfile.TemporaryDirectory(prefix="apt-", dir=target.parent) as scratch:
            flaw = _fetch_from(address, suite, Path(scratch), target)
        if flaw is None:
            return
        yield f"- {suite} of {address}: {flaw}"


def _fetch_from(address: str, suite: str, here: Path, target: Path) -> str | None:
    """Put the library at `target` from one suite, or say what went wrong."""
    say(f"asking {address} for its {suite} packages")
    set_up(here, "deb", [f"{address} {suite}"])
    if flaw := run(here, "apt-get", "-c", "apt.conf", "--error-on=any", "update"):
        return flaw
    flaws = []
    for package in PACKAGES:
        if flaw := run(here, "apt-get", "-c", "apt.conf", "download", package):
            flaws.append(flaw)
            continue
        return _unpack(next(here.glob("*.deb")), here / "unpacked", target)
    return "; ".join(flaws)


def _unpack(package: Path, here: Path, target: Path) -> str | None:
    say(f"unpacking {package.name}")
    if flaw := run(package.parent, "dpkg-deb", "-x", str(package), str(here)):
        return flaw
    found = next(here.rglob(NAME), None)
    if found is None:
        return f"{package.name} holds no {NAME}"
    fresh = package.parent / NAME
    shutil.copyfile(found, fresh)
    if flaw := flaw_of(fresh):
        return f"{package.name}: {flaw}"
    fresh.rename(target)
    return None


if __name__ == "__main__":
    sys.exit(main())
