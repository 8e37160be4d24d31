"""A machine that qemu boots from a disk image, in a directory of its own below .cache/vm.

The image is read only; the machine's disk is an overlay on it. Key, port and process number lie
beside the overlay, where later commands find them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from vm.drivers import qemu
from vm.drivers.driver import RunOptions, State, require_running
from vm.errors import VMError
from vm.guest import ssh
from vm.images.disk_images import Bootable, prepare
from vm.images.seed import write_seed
from vm.machines import Image, Machine
from vm.paths import cache, require_space, require_tool
from vm.progress import Progress, step
from vm.systems import SYSTEMS, USER

# Others allow FreeBSD's first boot 300 s with KVM; emulation has a factor of its own.
_BOOT_S = 300.0
# A first boot that asks for a reboot still answers for this long.
_SETTLE_S = 10.0
_HALT_S = 60.0
_EMULATED_PATIENCE = 10.0
_LAST_LINES = 15
_LAST_BYTES = 8192
OVERLAY_BYTES = 3 << 30


class ImageMachine:
    def __init__(self, machine: Machine, image: Image, options: RunOptions) -> None:
        self.machine = machine
        self._system = SYSTEMS[machine.system]
        self._image = image
        self._options = options
        self._accel = qemu.acceleration(image.accel)
        self._dir = cache() / machine.name
        self._disks = qemu.Disks(self._dir / "disk.qcow2", self._dir / "seed.iso")
        self._pid_file = self._dir / "qemu.pid"
        self._port_file = self._dir / "port"
        self._booted_file = self._dir / "booted"
        self._console = self._dir / "console.log"

    def patience(self) -> float:
        if self._options.patience is not None:
            return self._options.patience
        return _EMULATED_PATIENCE if self._accel == "tcg" else 1.0

    def state(self) -> State:
        if qemu.running(self._pid_file) is not None:
            return State.RUNNING
        return State.STOPPED if self._disks.overlay.exists() else State.ABSENT

    def up(self) -> None:
        name = self.machine.name
        require_tool("ssh", "openssh-client")
        require_tool(qemu.QEMU, "qemu-system-x86")
        if self.state() is not State.RUNNING:
            bootable = prepare(self.machine, self._image)
            self._make_disks(bootable)
            step(name, f"booting, accelerated by {self._accel}; its console: {self._console}")
            self._start(bootable)
        ssh.wait_until_answering(
            self._login(),
            name,
            _BOOT_S * self.patience(),
            lambda: qemu.running(self._pid_file) is not None,
            self._last_lines,
            self._ready(),
        )
        self._booted_file.touch()

    def _ready(self) -> ssh.Ready:
        if not self._system.first_boot:
            return ssh.Ready()
        command = " && ".join(f"test ! -e {path}" for path in self._system.first_boot)
        return ssh.Ready(command, 0.0 if self._booted_file.exists() else _SETTLE_S)

    def login(self) -> ssh.Login:
        require_running(self)
        return self._login()

    def _login(self) -> ssh.Login:
        port = int(self._port_file.read_text())
        options = ssh.plain("127.0.0.1", port, self._dir / "key", self._dir / "known_hosts")
        prefix = self._system.root_prefix
        return ssh.Login(options, USER, prefix, root_user=USER if prefix else "root")

    def halt(self) -> None:
        if qemu.running(self._pid_file) is None:
            return
        name = self.machine.name
        step(name, "shutting down")
        try:
            ssh.output(self.login(), "shutdown -p now || poweroff", as_root=True)
        except VMError:
            pass  # the connection ends with the guest, and a guest that hangs has none
        progress = Progress(name)
        limit_s = _HALT_S * self.patience()
        if qemu.wait_for_end(self._pid_file, limit_s, lambda: progress.update(self._last_line())):
            progress.end("is off")
            return
        progress.end(f"did not shut down within {limit_s:.0f} s; cutting its power")
        qemu.stop(self._pid_file)

    def destroy(self) -> None:
        qemu.stop(self._pid_file)
        shutil.rmtree(self._dir, ignore_errors=True)

    def _make_disks(self, bootable: Bootable) -> None:
        if self._disks.overlay.exists():
            return
        require_space(self._dir, OVERLAY_BYTES, f"the disk of {self.machine.name}")
        key = self._dir / "key"
        key.unlink(missing_ok=True)
        keygen = require_tool("ssh-keygen", "openssh-client")
        comment = f"mogstored-vm-{self.machine.name}"
        subprocess.run(
            [keygen, "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(key)],
            stdin=subprocess.DEVNULL,
            check=True,
        )
        public = Path(f"{key}.pub").read_text().strip()
        write_seed(self._disks.seed, self.machine.name, public, self._system)
        for stale in (self._dir / "known_hosts", self._booted_file):
            stale.unlink(missing_ok=True)
        qemu.make_overlay(bootable.disk, self._disks.overlay, self._image.disk)

    def _start(self, bootable: Bootable) -> None:
        port = qemu.free_port()
        command = qemu.command_line(
            self.machine,
            bootable,
            self._disks,
            self._accel,
            port,
            self._console,
            self._options.offline,
        )
        self._console.write_bytes(b"")
        self._port_file.write_text(f"{port}\n")
        qemu.start(command, self._pid_file)

    def _last_line(self) -> str:
        return self._last_lines().splitlines()[-1].strip()

    def _last_lines(self) -> str:
        """Return the end of the guest's console."""
        text = self._console.read_bytes()[-_LAST_BYTES:].decode("utf-8", "replace")
        lines = text.replace("\r", "").splitlines()[-_LAST_LINES:]
        return "\n".join(f"  | {line}" for line in lines) or "  | (the console is empty)"
