"""Build a Python without the interpreter lock from Debian's source package, for the suite.

    python -m tests.support.build_python [--into DIR] [--minor 3.14] [--with-lock]

prints the path of an interpreter that works, and nothing else, on standard output. It is kept in
the checkout's cache, and `tox -e py313t` or `py314t` finds it there. One that is named by the
environment, or on the path, is taken as it is.

The source is the newest of testing and unstable that can be fetched from where this machine gets
its packages, or from what DEBIAN_MIRROR names. apt checks its signature, and runs with sources,
lists and caches of its own. Nothing is installed outside of the cache. Optimised by the compiler,
and not by a profile of use: compare its speed with a build of the same kind only (`--with-lock`).
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from tests.support.debian_archive import archive, flaw_of_machine, run, say, set_up

VARIABLE = "MOG_FREE_THREADED"
# Those for which tox.ini has an environment, the newest first.
MINORS = ("3.14", "3.13")
DEFAULT_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "python"

_SUITES = ("unstable", "testing")
_HEADERS = {"zlib.h": "zlib1g-dev", "openssl/ssl.h": "libssl-dev", "ffi.h": "libffi-dev"}
# Long for one slow core.
_BUILD_S = 3600

# pip needs the first two, and tests load libraries by the third.
_PROBE = """
import ssl, sys, zlib, ctypes
locked = getattr(sys, "_is_gil_enabled", lambda: True)()
sys.exit(0 if locked == (sys.argv[1] == "lock") else "it has the interpreter lock")
"""


class Unobtainable(Exception):
    """The interpreter cannot be had; the message lists what was tried."""


class Source(NamedTuple):
    """A version of the source package, as `3.13.5-2`."""

    minor: str
    version: str

    def order(self) -> tuple[int, ...]:
        return tuple(map(int, re.findall(r"\d+", self.version)))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.build_python",
        description="Build a free-threaded Python from Debian's source and print its path.",
    )
    parser.add_argument("--into", type=Path, default=DEFAULT_CACHE, metavar="DIR")
    parser.add_argument("--minor", choices=MINORS, help="this one only, for example 3.13")
    parser.add_argument("--with-lock", action="store_true", help="a plain one, to compare with")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    options = parser.parse_args(arguments)
    minors = MINORS if options.minor is None else (options.minor,)
    try:
        print(
            obtain(options.into.absolute(), minors, "" if options.with_lock else "t", options.jobs)
        )
    except (Unobtainable, OSError, subprocess.SubprocessError) as error:
        print(
            f"no such Python can be obtained:\n{error}\n"
            f"Install one and put it on the path, or name it: {VARIABLE}=/path/python3.13t",
            file=sys.stderr,
        )
        return 1
    return 0


def obtain(into: Path, minors: tuple[str, ...], suffix: str, jobs: int) -> Path:
    """Return an interpreter that is there, or a new one in `into`; `suffix` is `t` or empty."""
    tried = []
    for found in _ready(into / "bin", minors, suffix):
        if (flaw := flaw_of(found, suffix)) is None:
            return found
        tried.append(f"- {found}: {flaw}")
    into.mkdir(parents=True, exist_ok=True)
    with (into / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other one may have built it meanwhile
        for minor in minors:
            built = into / "bin" / f"python{minor}{suffix}"
            if built.exists() and flaw_of(built, suffix) is None:
                return built
        with tempfile.TemporaryDirectory(prefix="build-", dir=into) as scratch:
            source, archive = _fetch(Path(scratch), minors, tried)
            return _build(source, archive, into, suffix, jobs)


def flaw_of(python: Path, suffix: str) -> str | None:
    """Return what is wrong with an interpreter, or None."""
    if not python.exists():
        return "no such file"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    probe = subprocess.run(
        [python, "-I", "-c", _PROBE, "free" if suffix else "lock"],
        check=False,
        capture_output=True,
        env=environment,
        text=True,
        timeout=60,
    )
    if probe.returncode == 0:
        return None
    return (probe.stderr.strip().splitlines() or [f"status {probe.returncode}"])[-1]


def _ready(cache: Path, minors: tuple[str, ...], suffix: str) -> Iterator[Path]:
    if suffix and (named := os.environ.get(VARIABLE)):
        yield Path(named).absolute()
    for minor in minors:
        name = f"python{minor}{suffix}"
        # One with the lock is to be built in the same way as the other.
        for found in (str(cache / name), shutil.which(name) if suffix else None):
            if found is not None and Path(found).exists():
                yield Path(found)


def _fetch(here: Path, minors: tuple[str, ...], tried: list[str]) -> tuple[Source, Path]:
    """Return the newest source that can be fetched, and its archive.

    **Raises:** `Unobtainable`.
    """
    if flaw := flaw_of_machine("apt-get", "apt-cache") or _flaw_of_compiler():
        raise Unobtainable("\n".join([*tried, f"- Debian's source package: {flaw}"]))
    if (address := archive()) is None:
        raise Unobtainable("- Debian's source package: this machine's apt has no sources")
    sources = [f"{address} {suite}" for suite in _SUITES]
    set_up(here, "deb-src", sources)
    say(f"reading the lists of {', '.join(sources)}")
    if flaw := run(here, "apt-get", "-c", "apt.conf", "update"):
        tried.append(f"- Debian's source package: {flaw}")
    for source in _offered(here, minors):
        if flaw := _download(here, source):
            tried.append(f"- python{source.minor} {source.version}: {flaw}")
            continue
        return source, next(here.glob("*.orig.tar.*"))
    raise Unobtainable("\n".join([*tried, "- no source package of " + " or ".join(minors)]))


def _offered(folder: Path, minors: tuple[str, ...]) -> list[Source]:
    """Return the released versions that the lists name, newest first."""
    found = []
    for minor in minors:
        done = subprocess.run(
            ["apt-cache", "-c", "apt.conf", "showsrc", "--only-source", f"python{minor}"],
            check=False,
            cwd=folder,
            capture_output=True,
            text=True,
        )
        versions = set(re.findall(r"^Version: (\S+)$", done.stdout, re.MULTILINE))
        found += [Source(minor, version) for version in versions if "~" not in version]
    return sorted(found, key=Source.order, reverse=True)


def _download(folder: Path, source: Source) -> str | None:
    say(f"fetching python{source.minor} {source.version}")
    package = f"python{source.minor}={source.version}"
    options = ("-c", "apt.conf", "--download-only", "--tar-only", "--only-source")
    return run(folder, "apt-get", *options, "source", package)


def _flaw_of_compiler() -> str | None:
    missing = [] if shutil.which("cc") and shutil.which("make") else ["build-essential"]
    for header, package in _HEADERS.items():
        text = f"#include <{header}>\n"
        command = ["cc", "-E", "-x", "c", "-o", os.devnull, "-"]
        done = subprocess.run(command, check=False, input=text, capture_output=True, text=True)
        if done.returncode != 0:
            missing.append(package)
    return f"run `apt-get install {' '.join(missing)}` first" if missing else None


def _build(source: Source, archive: Path, into: Path, suffix: str, jobs: int) -> Path:
    """Build it beside `archive` and install it in `into`; return the interpreter."""
    work = archive.parent / "work"
    work.mkdir()
    prefix = into / f"{source.version}{suffix}"
    shutil.rmtree(prefix, ignore_errors=True)  # of a build that was interrupted
    flavour = ["--disable-gil"] if suffix else []
    steps = {
        "unpacking": ["tar", "-xf", str(archive), "--strip-components=1"],
        "configuring": [
            *("./configure", "-q", f"--prefix={prefix}", "--with-ensurepip=install"),
            *("--disable-test-modules", *flavour),
        ],
        f"compiling with {jobs} jobs": ["make", "-s", f"-j{jobs}"],
        "installing": ["make", "-s", "install"],
    }
    for name, command in steps.items():
        say(f"python{source.minor}{suffix} {source.version}: {name}")
        began = monotonic()
        if flaw := run(work, *command, timeout_s=_BUILD_S):
            raise Unobtainable(f"- {name} python{source.minor} {source.version}: {flaw}")
        say(f"took {monotonic() - began:.0f} s")
    built = prefix / "bin" / f"python{source.minor}{suffix}"
    if flaw := flaw_of(built, suffix):
        raise Unobtainable(f"- {built}: {flaw}")
    link = into / "bin" / built.name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(built)
    return link


if __name__ == "__main__":
    sys.exit(main())
