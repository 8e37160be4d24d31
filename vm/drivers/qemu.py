"""The command line of qemu, and its process.

Network: qemu's user mode, which needs no privileges. The guest's port 22 is forwarded from a free
port of 127.0.0.1. With `--offline` the guest reaches nothing (`restrict=on`), not even the host.

Acceleration: inside a virtual machine /dev/kvm can exist while the processor has no
virtualization; a guest then hangs before its first line. `auto` takes kvm only if the processor
has the flag too, and otherwise tcg, which is ten to thirty times slower.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from vm.errors import VMError
from vm.images.disk_images import Bootable
from vm.machines import Machine
from vm.paths import require_tool
from vm.systems import SYSTEMS

QEMU = "qemu-system-x86_64"
_KVM = "/dev/kvm"
_KILL_AFTER_S = 10.0
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Disks:
    overlay: Path
    seed: Path


def acceleration(wanted: str) -> str:
    """Resolve `auto` to the best that this host has."""
    if wanted != "auto":
        return wanted
    return "kvm" if no_kvm() is None else "tcg"


def no_kvm() -> str | None:
    """Return why this host cannot use kvm, or None."""
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return f"no access to {_KVM}" if os.path.exists(_KVM) else f"no {_KVM}"
    return None if _can_virtualize() else "a processor without virtualization"


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
        *("-drive", f"file={disks.seed},{_seed_drive(machine)},format=raw,readonly=on"),
        *("-netdev", network),
        *("-device", "virtio-net-pci,netdev=net0"),
        *("-device", "virtio-rng-pci"),
    ]
    if bootable.kernel is not None:
        command += ["-kernel", str(bootable.kernel), "-initrd", str(bootable.initrd)]
        command += ["-append", "root=/dev/vda rw console=ttyS0"]
    return command


def _seed_drive(machine: Machine) -> str:
    return "if=ide,media=cdrom" if SYSTEMS[machine.system].seed_on_cdrom else "if=virtio"


def make_overlay(base: Path, overlay: Path, size: str) -> None:
    """Create the disk that the guest writes to, on top of the image."""
    command = [require_tool("qemu-img", "qemu-utils"), "create", "-q", "-f", "qcow2"]
    command += ["-F", "qcow2", "-b", str(base), str(overlay), size]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise VMError(f"qemu-img: {done.stderr.strip()}", "Is the image a qcow2 file?")


def start(command: list[str], pid_file: Path) -> None:
    """Start qemu in a session of its own, out of reach of Ctrl-C."""
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
            "vm/drivers/qemu.py makes its options from vm/machines.yml.",
        )


def running(pid_file: Path) -> psutil.Process | None:
    """Return the machine's qemu; a reused process number is recognized by its command line."""
    try:
        process = psutil.Process(int(pid_file.read_text()))
        alive = process.status() != psutil.STATUS_ZOMBIE
        is_ours = str(pid_file) in process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return process if alive and is_ours else None


def stop(pid_file: Path) -> None:
    """Cut the power: SIGTERM, and SIGKILL 10 s later."""
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


def wait_for_end(
    pid_file: Path, limit_s: float, meanwhile: Callable[[], None] = lambda: None
) -> bool:
    """Return whether qemu ended in time. It is no child of ours, so this polls."""
    deadline = time.monotonic() + limit_s
    while running(pid_file) is not None:
        if time.monotonic() > deadline:
            return False
        meanwhile()
        time.sleep(_PAUSE_S)
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
