"""A machine without a box: qemu on a disk image, in a directory of its own below .cache/vm.

The image itself is never written to; the machine's disk is an overlay on it. The key, the port and
the process number lie beside it, so any later command finds the machine again.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from vm import qemu, ssh
from vm.disk_images import Bootable, prepare
from vm.driver import State, Wishes, require_running
from vm.errors import VMError
from vm.machines import Image, Machine
from vm.place import cache, require_space, require_tool
from vm.progress import step
from vm.seed import USER, write_seed

_BOOT_S = 180.0
_HALT_S = 60.0
_EMULATED_PATIENCE = 10.0
_LAST_LINES = 15
_LAST_BYTES = 8192
_OVERLAY_BYTES = 3 << 30


class ImageMachine:
    def __init__(self, machine: Machine, image: Image, wishes: Wishes) -> None:
        self.machine = machine
        self._image = image
        self._wishes = wishes
        self._accel = qemu.acceleration(image.accel)
        self._dir = cache() / machine.name
        self._disks = qemu.Disks(self._dir / "disk.qcow2", self._dir / "seed.iso")
        self._pid_file = self._dir / "qemu.pid"
        self._port_file = self._dir / "port"
        self._console = self._dir / "console.log"

    def patience(self) -> float:
        if self._wishes.patience is not None:
            return self._wishes.patience
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
        )

    def login(self) -> ssh.Login:
        require_running(self)
        return self._login()

    def _login(self) -> ssh.Login:
        port = int(self._port_file.read_text())
        options = ssh.plain("127.0.0.1", port, self._dir / "key", self._dir / "known_hosts")
        return ssh.Login(options, user=USER, root_prefix="", root_user="root")

    def halt(self) -> None:
        if qemu.running(self._pid_file) is None:
            return
        step(self.machine.name, "shutting down")
        try:
            ssh.output(self.login(), "shutdown -p now || poweroff", as_root=True)
        except VMError:
            pass  # the connection ends with the guest, and a guest that hangs has none
        if not qemu.wait_for_end(self._pid_file, _HALT_S * self.patience()):
            qemu.stop(self._pid_file)

    def destroy(self) -> None:
        qemu.stop(self._pid_file)
        shutil.rmtree(self._dir, ignore_errors=True)

    def _make_disks(self, bootable: Bootable) -> None:
        if self._disks.overlay.exists():
            return
        require_space(self._dir, _OVERLAY_BYTES, f"the disk of {self.machine.name}")
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
        write_seed(self._disks.seed, self.machine.name, public)
        (self._dir / "known_hosts").unlink(missing_ok=True)
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
            self._wishes.offline,
        )
        self._console.write_bytes(b"")
        self._port_file.write_text(f"{port}\n")
        qemu.start(command, self._pid_file)

    def _last_lines(self) -> str:
        """Return the end of the guest's console."""
        text = self._console.read_bytes()[-_LAST_BYTES:].decode("utf-8", "replace")
        lines = text.replace("\r", "").splitlines()[-_LAST_LINES:]
        return "\n".join(f"  | {line}" for line in lines) or "  | (the console is empty)"
