"""Talking to a guest: commands whose output streams, files, and waiting for the first answer."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vm.errors import VMError
from vm.place import require_tool
from vm.progress import Progress

# ssh's own status for "could not connect"; a remote command can end with it too, but ours do not.
_NO_CONNECTION = 255
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Login:
    """A way into a guest: ssh's options and destination, and what makes a command root's."""

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
    """Run a command with its output on this terminal, and in a file too; return its status."""
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
        said = done.stderr.decode("utf-8", "replace").strip()
        _connected(done.returncode)
        raise VMError(f"in the guest, `{command}` failed with {done.returncode}: {said}")
    return done.stdout.decode("utf-8", "replace")


def send(login: Login, directory: Path, names: Sequence[str], into: str) -> None:
    """Copy files and directories below `directory` to the guest, as a stream of tar."""
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
            "Is its disk full? `python -m vm destroy` and `up` give it a fresh one.",
        )


def wait_until_answering(
    login: Login,
    machine: str,
    limit_s: float,
    is_alive: Callable[[], bool],
    last_lines: Callable[[], str],
) -> None:
    """Wait for the first login. Raises: VMError with the console's last lines."""
    progress = Progress(machine)
    while not _answers(login):
        if not is_alive():
            raise VMError(
                f"{machine}: it stopped while booting\n{last_lines()}", _boot_advice(machine)
            )
        if progress.seconds > limit_s:
            raise VMError(
                f"{machine}: no login over ssh within {limit_s:.0f} s\n{last_lines()}",
                _boot_advice(machine),
            )
        progress.tell(f"waiting for a login; {(last_lines().splitlines() or [''])[-1].strip()}")
        time.sleep(_PAUSE_S)
    progress.end("answers over ssh")


def _answers(login: Login) -> bool:
    """Try one login as root: that comes last in the set-up at first boot."""
    argv = login.ssh("true", as_root=True)
    argv[1:1] = ["-o", "ConnectTimeout=10"]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _connected(status: int) -> int:
    if status == _NO_CONNECTION:
        raise VMError(
            "the connection to the guest broke",
            "`python -m vm list` says whether it runs; `python -m vm up NAME` starts it again.",
        )
    return status


def _boot_advice(machine: str) -> str:
    return (
        f"The whole console is in {machine}'s directory below .cache/vm. A slow host needs more "
        f"--patience; `python -m vm destroy {machine}` and `up` make the machine anew."
    )
