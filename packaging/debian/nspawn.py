#!/usr/bin/python3
"""A virtualization server of autopkgtest: systemd-nspawn boots a root, without a network.

autopkgtest ... -- packaging/debian/nspawn.py DIRECTORY

DIRECTORY has a user `tester`. It stays as it is: a testbed writes to memory, and a revert boots
another one. The host needs no systemd, and may have control groups of version 1.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, "/usr/share/autopkgtest/lib")

import VirtSubproc  # type: ignore[import-not-found]

BOOT_S = 120
CAPABILITIES = [
    "isolation-container",
    "revert",
    "revert-full-system",
    "root-on-testbed",
    "suggested-normal-user=tester",
]
ENVIRONMENT = ["HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
# nspawn leaves files in /run and control groups beside its own: both are mounts of this run.
CONTAINER = r"""
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
group=/sys/fs/cgroup/$2
mkdir "$group"
(
    echo 0 >"$group/cgroup.procs"
    exec systemd-nspawn --quiet --boot --volatile=overlay --private-network --notify-ready=yes \
        --register=no --keep-unit --console=pipe --machine="$2" --directory="$1"
) || true
find "$group" -depth -type d -exec rmdir {} \;
"""


class Testbed:
    """A booted system."""

    def __init__(self, root: str) -> None:
        self._leader = 0
        name = f"autopkgtest-{os.getpid()}"
        with (
            tempfile.TemporaryDirectory() as scratch,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
        ):
            notices.bind(f"{scratch}/notify")
            notices.settimeout(BOOT_S)
            self._container = subprocess.Popen(
                ["unshare", "--mount", "sh", "-eu", "-c", CONTAINER, "sh", root, name],
                env={**os.environ, "NOTIFY_SOCKET": f"{scratch}/notify"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # A Ctrl-C is for the server, which ends the system in order.
                start_new_session=True,
            )
            try:
                self._wait_ready(notices)
            except BaseException:
                self.stop()
                raise

    def _wait_ready(self, notices: socket.socket) -> None:
        """Wait until the system's manager has started everything."""
        lines: list[str] = []
        while "READY=1" not in lines:
            lines = notices.recv(4096).decode().splitlines()
            for line in lines:
                if line.startswith("X_NSPAWN_LEADER_PID="):
                    self._leader = int(line.partition("=")[2])

    def command(self) -> list[str]:
        """Return what a command is prefixed with to run in the system."""
        enter = ["nsenter", f"--target={self._leader}", "--all", "--root", "--wd"]
        return [*enter, "env", "-i", *ENVIRONMENT]

    def stop(self) -> None:
        """End all its processes with its first one."""
        if self._leader:
            os.kill(self._leader, signal.SIGKILL)
        else:
            self._container.terminate()
        self._container.wait()


_testbed: Testbed


def hook_open() -> None:
    global _testbed
    _testbed = Testbed(sys.argv[1])
    VirtSubproc.auxverb = _testbed.command()


def hook_downtmp(path: str | None) -> object:
    return VirtSubproc.downtmp_mktemp(path)


def hook_revert() -> None:
    hook_cleanup()
    hook_open()


def hook_cleanup() -> None:
    _testbed.stop()


def hook_capabilities() -> list[str]:
    return CAPABILITIES


if __name__ == "__main__":
    VirtSubproc.main()
