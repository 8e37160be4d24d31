"""apt with sources, lists and caches of its own: nothing is installed, no setting is touched."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

MIRROR = "DEBIAN_MIRROR"
KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)

# Clearing keeps the machine's hooks from running for us. The sandbox user
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


def flaw_of_machine(*programs: str) -> str | None:
    """Return what this machine lacks to read Debian's archive with `programs`, or None."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        return f"{' and '.join(missing)} not found on this machine"
    if _keyring() is None:
        return f"no keyring at {' or '.join(map(str, KEYRINGS))}"
    return None


def archive() -> str | None:
    """Return the archive that MIRROR names, or from which apt installs this machine's release."""
    if named := os.environ.get(MIRROR):
        return named
    release = platform.freedesktop_os_release().get("VERSION_CODENAME")
    asked = ["apt-get", "indextargets", "--no-release-info"]
    asked += ["--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    done = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=60)
    lines = [line.split() for line in done.stdout.splitlines()]
    return next((line[0] for line in lines if line[1:] == [release, "main"]), None)


def set_up(here: Path, kind: str, sources: Iterable[str]) -> None:
    """Make `here` a folder in which `apt-get -c apt.conf` reads `sources`, and no others.

    `kind` is `deb` or `deb-src`; a source is a URI and a suite.
    """
    for folder in ("state", "lists/partial", "cache", "archives/partial"):
        (here / folder).mkdir(parents=True)
    (here / "status").touch()
    lines = [f"{kind} [signed-by={_keyring()}] {source} main\n" for source in sources]
    (here / "sources.list").write_text("".join(lines))
    (here / "apt.conf").write_text(_APT_CONF.format(here=here))


def run(directory: Path, *command: str, timeout_s: float = 300) -> str | None:
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
        timeout=timeout_s,
    )
    print(done.stdout, end="", file=sys.stderr)
    if done.returncode == 0:
        return None
    return (done.stdout.strip().splitlines() or [f"{command[0]}: status {done.returncode}"])[-1]


def say(progress: str) -> None:
    """Print on standard error, at once."""
    print(progress, file=sys.stderr, flush=True)


def _keyring() -> Path | None:
    return next(filter(Path.exists, KEYRINGS), None)
