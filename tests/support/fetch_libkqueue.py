"""Obtain libkqueue from Debian's archive, to run the kqueue backend on Linux.

    python -m tests.support.fetch_libkqueue [--into DIR]

prints the path of a library that works, and nothing else, on standard output. On a system with
a kqueue of its own it prints nothing and succeeds. Nothing is installed and no setting of the
machine is touched: apt runs with sources, lists and caches of its own, which are removed again.
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

NAME = "libkqueue.so.0"
VARIABLE = "MOGPOLL_LIBKQUEUE"
MIRROR = "http://deb.debian.org/debian"
# Today only experimental has it. The others cost their package lists, if it ever leaves there.
SUITES = ("experimental", "unstable", "testing", "stable")
# The name since the change to 64-bit time, and the one before.
PACKAGES = ("libkqueue0t64", "libkqueue0")
KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
DEFAULT_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "libkqueue"

# In a process of its own: a broken library may well crash.
_PROBE = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.kevent
sys.exit("kqueue() failed" if library.kqueue() < 0 else 0)
"""

# The clearing keeps the machine's hooks from running on our behalf. The sandbox user is one who
# may not enter a private checkout.
_APT_CONF = """
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{here}/state";
Dir::State::lists "{here}/lists";
Dir::State::status "{here}/status";
Dir::Cache "{here}/cache";
Dir::Cache::archives "{here}/archives";
Dir::Etc::sourcelist "{here}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
"""


class Unobtainable(Exception):
    """There is no way to the library from here; the message lists what was tried."""


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
            _say(flaw)
    if (flaw := flaw_of(cached)) is not None:
        raise Unobtainable("\n".join([*tried, f"- {cached}: {flaw}"]))
    return cached


def flaw_of(library: Path) -> str | None:
    """Say why `library` is of no use, None if it is."""
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
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    keyring = next(filter(Path.exists, KEYRINGS), None)
    if missing:
        yield f"- Debian's archive: {' and '.join(missing)} not found on this machine"
        return
    if keyring is None:
        yield f"- Debian's archive: no keyring at {' or '.join(map(str, KEYRINGS))}"
        return
    for suite in SUITES:
        with tempfile.TemporaryDirectory(prefix="apt-", dir=target.parent) as scratch:
            flaw = _fetch_from(suite, keyring, Path(scratch), target)
        if flaw is None:
            return
        yield f"- {suite} of {MIRROR}: {flaw}"


def _fetch_from(suite: str, keyring: Path, here: Path, target: Path) -> str | None:
    """Put the library at `target` from one suite, or say what went wrong."""
    _say(f"asking {MIRROR} for its {suite} packages")
    for folder in ("state", "lists/partial", "cache", "archives/partial"):
        (here / folder).mkdir(parents=True)
    (here / "status").touch()
    (here / "sources.list").write_text(f"deb [signed-by={keyring}] {MIRROR} {suite} main\n")
    (here / "apt.conf").write_text(_APT_CONF.format(here=here))
    if flaw := _run(here, "apt-get", "-c", "apt.conf", "--error-on=any", "update"):
        return flaw
    flaws = []
    for package in PACKAGES:
        if flaw := _run(here, "apt-get", "-c", "apt.conf", "download", package):
            flaws.append(flaw)
            continue
        return _unpack(next(here.glob("*.deb")), here / "unpacked", target)
    return "; ".join(flaws)


def _unpack(package: Path, here: Path, target: Path) -> str | None:
    _say(f"unpacking {package.name}")
    if flaw := _run(package.parent, "dpkg-deb", "-x", str(package), str(here)):
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


def _run(directory: Path, *command: str) -> str | None:
    """Run `command`, its output on our standard error; return its last words if it fails."""
    done = subprocess.run(
        command,
        check=False,
        cwd=directory,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=300,
    )
    print(done.stdout, end="", file=sys.stderr)
    if done.returncode == 0:
        return None
    return (done.stdout.strip().splitlines() or [f"{command[0]}: status {done.returncode}"])[-1]


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
