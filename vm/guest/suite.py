"""The suite in a guest: copy the checkout, prepare the system, run, fetch the results."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vm.drivers.driver import Driver
from vm.errors import VMError
from vm.guest import ssh, wheelhouse
from vm.paths import ROOT, cache, results
from vm.progress import step

_BASE = "mogvm"
_SCRIPT = f"{_BASE}/src/vm/provision/suite.sh"
_LOG = "run.log"
_FETCHED = ("junit.xml", "probe.json")
_TEST_TIMEOUT_S = 180


def sync(driver: Driver) -> None:
    """Make ~/mogvm/src in the guest equal to this checkout; its .tox stays."""
    step(driver.machine.name, "copying the checkout")
    login = driver.login()
    ssh.output(
        login,
        f"mkdir -p {_BASE}/src && cd {_BASE}/src && "
        "find . -mindepth 1 -maxdepth 1 ! -name .tox -exec rm -rf {} +",
    )
    ssh.send(login, ROOT, _files(), f"{_BASE}/src")


def provision(driver: Driver) -> None:
    """Install the system packages that the suite needs, as root."""
    machine = driver.machine
    step(machine.name, f"provisioning with vm/provision/{machine.system}.sh")
    script = f"~{driver.login().user}/{_BASE}/src/vm/provision/{machine.system}.sh"
    packages = " ".join(shlex.quote(package) for package in machine.packages)
    status = ssh.run(driver.login(), f"sh {script} {packages}", as_root=True)
    if status != 0:
        raise VMError(
            f"{machine.name}: provisioning failed with status {status}",
            "See its message above. A guest without internet needs an image with the packages "
            "in it, like linux-qemu; the machine stays up.",
        )


def test(driver: Driver, arguments: Sequence[str], offline: bool) -> int:
    """Run the suite with arguments for pytest; return its status."""
    name = driver.machine.name
    login = driver.login()
    _send_packages(driver, offline)
    directory = results(name)
    directory.mkdir(parents=True, exist_ok=True)
    # Results of the previous run go, so that an early failure shows; notes beside them stay.
    for result in (_LOG, *_FETCHED):
        (directory / result).unlink(missing_ok=True)
    patience = driver.patience()
    environment = f"MOG_TEST_PATIENCE={patience:g}"
    limit = f"--timeout={_TEST_TIMEOUT_S * patience:g}"
    chosen = driver.machine.suite.split()
    words = " ".join(shlex.quote(word) for word in [limit, *arguments, *chosen])
    step(name, f"the suite; its log: {directory / _LOG}")
    command = f"{environment} sh {_SCRIPT} {words}"
    try:
        status = ssh.run(login, command, log=directory / _LOG)
    except KeyboardInterrupt:
        ssh.output(login, f"sh {_SCRIPT} stop")
        raise
    fetch_results(driver)
    return status


def fetch_results(driver: Driver) -> None:
    """Fetch the results of the last run from the guest."""
    login = driver.login()
    directory = results(driver.machine.name)
    directory.mkdir(parents=True, exist_ok=True)
    there = ssh.output(login, f"ls {_BASE}/out 2>/dev/null || true").split()
    for name in _FETCHED:
        if name in there:
            (directory / name).write_text(ssh.output(login, f"cat {_BASE}/out/{name}"))
    if "junit.xml" not in there:
        raise VMError(
            f"{driver.machine.name}: there are no results: the suite did not get that far",
            f"See {directory / _LOG}, and `python -m vm test {driver.machine.name}` tries again.",
        )


def _send_packages(driver: Driver, offline: bool) -> None:
    """Send the wheel; to a guest without internet also all that the wheel and tox require."""
    login = driver.login()
    directory = cache() / driver.machine.name
    dist, house = directory / "dist", directory / "house"
    _build_wheel(dist)
    ssh.output(login, f"rm -rf {_BASE}/dist {_BASE}/house")
    sent = ["dist"]
    if offline:
        python = ssh.output(login, f"sh {_SCRIPT} python").strip()
        wheelhouse.gather(driver.machine.system, python, house)
        sent.append("house")
    ssh.send(login, directory, sent, _BASE)


def _build_wheel(into: Path) -> None:
    shutil.rmtree(into, ignore_errors=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise VMError(f"the wheel cannot be built: {done.stderr.strip()}")


def _files() -> list[str]:
    """List the checkout's files: tracked and untracked ones, or without git all but caches."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return sorted(entry.name for entry in ROOT.iterdir() if not _is_made_here(entry))
    return [name for name in listed.split("\0") if name and (ROOT / name).exists()]


def _is_made_here(entry: Path) -> bool:
    return entry.name in {"dist", "build", "__pycache__"} or entry.name.startswith(
        (".tox", ".venv", ".cache", ".git", ".mypy", ".ruff", ".pytest", ".hypothesis")
    )
