"""The command line of qemu, and the process behind it.

Network: qemu's user mode, which needs no rights on the host. The guest's port 22 is a free port of
127.0.0.1. With `--offline` the guest reaches nothing else (`restrict=on`), the host included.

Acceleration: /dev/kvm may be there without working, in a virtual machine whose own processor
shows no virtualization; then a guest hangs before its first line. So kvm is chosen only when the
processor has the flag too. Everything else is emulated in software, ten to thirty times slower.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from vm.disk_images import Bootable
from vm.errors import VMError
from vm.machines import Machine
from vm.place import require_tool

QEMU = "qemu-system-x86_64"
_KILL_AFTER_S = 10.0
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Disks:
    overlay: Path
    seed: Path


def acceleration(wanted: str) -> str:
    """Turn `auto` into what this host can do."""
    if wanted != "auto":
        return wanted
    return "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) and _can_virtualize() else "tcg"


def _can_virtualize() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return "vmx" in flags or "svm" in flags


def command_line(
    machine: Machine,
    bootable: Bootable,
    disks: Disks,
    accel: str,
    port: int,
    console: Path,
    offline: bool,
) -> list[str]:
    """Compose the command that boots the machine."""
    network = f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:22" + ",restrict=on" * offline
    command = [
        require_tool(QEMU, "qemu-system-x86"),
        *("-name", machine.name),
        *("-accel", "tcg,thread=multi" if accel == "tcg" else accel),
        *("-cpu", "max" if accel == "tcg" else "host"),
        *("-smp", str(machine.cpus)),
        *("-m", str(machine.memory)),
        *("-display", "none"),
        *("-serial", f"file:{console}"),
        *("-monitor", "none"),
        *("-drive", f"file={disks.overlay},if=virtio,format=qcow2,cache=unsafe"),
        *("-drive", f"file={disks.seed},if=virtio,format=raw,readonly=on"),
        *("-netdev", network),
        *("-device", "virtio-net-pci,netdev=net0"),
        *("-device", "virtio-rng-pci"),
    ]
    if bootable.kernel is not None:
        command += ["-kernel", str(bootable.kernel), "-initrd", str(bootable.initrd)]
        command += ["-append", "root=/dev/vda rw console=ttyS0"]
    return command


def make_overlay(base: Path, overlay: Path, size: str) -> None:
    """Make the disk that the guest writes to; the image below stays as it is."""
    tool = require_tool("qemu-img", "qemu-utils")
    command = [
        tool,
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "qcow2",
        "-b",
        str(base),
        str(overlay),
        size,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise VMError(f"qemu-img: {done.stderr.strip()}", "Is the image a qcow2 file?")


def start(command: list[str], pid_file: Path) -> None:
    """Start qemu in the background, in a session of its own: Ctrl-C here does not reach it."""
    background = ["-daemonize", "-pidfile", str(pid_file)]
    done = subprocess.run(
        [*command, *background],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise VMError(
            f"qemu does not start: {done.stderr.strip()}",
            "Its options are made in vm/qemu.py from vm/machines.yml.",
        )


def running(pid_file: Path) -> psutil.Process | None:
    """Find the qemu that was started, and be sure that its number was not given to another."""
    try:
        process = psutil.Process(int(pid_file.read_text()))
        alive = process.status() != psutil.STATUS_ZOMBIE
        is_ours = str(pid_file) in process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return process if alive and is_ours else None


def stop(pid_file: Path) -> None:
    """End qemu as a power cut would: TERM, and KILL if it does not listen."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = running(pid_file)
        if process is None:
            return
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return
        if wait_for_end(pid_file, _KILL_AFTER_S):
            return


def wait_for_end(pid_file: Path, limit_s: float) -> bool:
    """Say whether qemu ended in time. It is no child of ours: nothing tells us, so we look."""
    deadline = time.monotonic() + limit_s
    while running(pid_file) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
