"""ssh to a guest: commands with streamed output, copied files, the wait for the first login."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.errors import VMError
from vm.paths import require_tool
from vm.progress import Progress

_REFUSED = "Permission denied"
_REFUSED_ADVICE = (
    "The guest is up and refuses the key: its first boot did not find or did not understand the "
    "seed (vm/images/seed.py). The console shows whether nuageinit or cloud-init ran."
)
# ssh's status for a failed connection. Remote commands may return it too; ours do not.
_NO_CONNECTION = 255
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in to a guest, as its user and as root."""

    options: tuple[str, ...]
    user: str
    root_prefix: str
    root_user: str

    def ssh(self, command: str, as_root: bool = False) -> list[str]:
        """Compose the ssh command that runs a line of sh in the guest."""
        ssh = require_tool("ssh", "openssh-client")
        if as_root and self.root_prefix:
            command = f"{self.root_prefix} sh -c {shlex.quote(command)}"
        user = self.root_user if as_root else self.user
        return [ssh, *self.options, "-l", user, "guest", command]


@dataclass(frozen=True, slots=True)
class Ready:
    """When a boot has ended: root's `command` succeeds, in all logins of `settle_s` seconds."""

    command: str = "true"
    settle_s: float = 0.0


def plain(host: str, port: int, key: Path, known_hosts: Path) -> tuple[str, ...]:
    """Compose ssh's options for a guest on a port of this host."""
    settings = {
        "HostName": host,
        "Port": str(port),
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": str(known_hosts),
        "StrictHostKeyChecking": "accept-new",
        "BatchMode": "yes",
        "ServerAliveInterval": "30",
        "ServerAliveCountMax": "20",
        "LogLevel": "ERROR",
    }
    pairs = (("-o", f"{name}={value}") for name, value in settings.items())
    return ("-F", "none", *(word for pair in pairs for word in pair))


def run(login: Login, command: str, as_root: bool = False, log: Path | None = None) -> int:
    """Run a command, copy its output to this terminal and to `log`; return its status."""
    argv = login.ssh(command, as_root)
    if log is None:
        return _connected(subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode)
    with (
        log.open("wb", buffering=0) as file,
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            print(line.decode("utf-8", "replace"), end="", flush=True)
    return _connected(process.returncode)


def output(login: Login, command: str, as_root: bool = False) -> str:
    """Run a command and return what it prints. Raises: VMError when it fails."""
    done = subprocess.run(
        login.ssh(command, as_root), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        errors = done.stderr.decode("utf-8", "replace").strip()
        _connected(done.returncode)
        raise VMError(f"in the guest, `{command}` failed with {done.returncode}: {errors}")
    return done.stdout.decode("utf-8", "replace")


def send(login: Login, directory: Path, names: Sequence[str], into: str) -> None:
    """Copy files and directories below `directory` to the guest, through tar."""
    tar = require_tool("tar", "tar")
    packed = subprocess.Popen([tar, "-cf", "-", *names], cwd=directory, stdout=subprocess.PIPE)
    quoted = shlex.quote(into)
    command = login.ssh(f"mkdir -p {quoted} && tar -xf - -C {quoted}")
    done = subprocess.run(command, stdin=packed.stdout, check=False)
    assert packed.stdout is not None
    packed.stdout.close()
    if packed.wait() != 0 or _connected(done.returncode) != 0:
        raise VMError(
            f"copying to {into} in the guest failed",
            "Its disk may be full: `python -m vm destroy` and `up` give it a fresh one.",
        )


def wait_until_answering(
    login: Login,
    machine: str,
    limit_s: float,
    is_alive: Callable[[], bool],
    last_lines: Callable[[], str],
    until: Ready = Ready(),
) -> None:
    """Wait until root can log in and the boot has ended.

    Raises: VMError with the last answer and the console's last lines.
    """
    progress = Progress(machine)
    steady_since: float | None = None
    while True:
        obstacle = _obstacle(login, until.command)
        steady_since = None if obstacle else (steady_since or progress.seconds)
        if steady_since is not None and progress.seconds - steady_since >= until.settle_s:
            break
        if not is_alive():
            raise VMError(
                f"{machine}: stopped while booting\n{last_lines()}", _boot_advice(machine)
            )
        if progress.seconds > limit_s:
            raise VMError(
                f"{machine}: no login over ssh within {limit_s:.0f} s: {obstacle}\n{last_lines()}",
                _REFUSED_ADVICE if _REFUSED in obstacle else _boot_advice(machine),
            )
        console = (last_lines().splitlines() or [""])[-1].strip()
        progress.update(f"{obstacle or 'waiting whether it reboots'}; {console}")
        time.sleep(_PAUSE_S)
    progress.end("answers over ssh")


def _obstacle(login: Login, command: str) -> str:
    """Try one login as root, which the first boot sets up last; return what is in the way."""
    argv = login.ssh(command, as_root=True)
    argv[1:1] = ["-o", "ConnectTimeout=10"]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return "no answer within 60 s"
    if done.returncode == 0:
        return ""
    if done.returncode != _NO_CONNECTION:
        return "the first boot goes on"
    answer = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return answer[-1] if answer else "no connection"


def _connected(status: int) -> int:
    if status == _NO_CONNECTION:
        raise VMError(
            "the connection to the guest broke",
            "`python -m vm list` shows whether it runs; `python -m vm up NAME` starts it again.",
        )
    return status


def _boot_advice(machine: str) -> str:
    return (
        f"The whole console is in {machine}'s directory below .cache/vm. A slow host needs more "
        f"--patience; `python -m vm destroy {machine}` and `up` recreate the machine."
    )
