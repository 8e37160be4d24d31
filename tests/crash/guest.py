"""A small machine under qemu: Debian's kernel, and this Python with a node in its memory.

Nothing is installed on a disk: the root is an archive that the kernel unpacks, with busybox, the
interpreter that runs this, and the node of this checkout. The only disk is the device of the node.
"""

from __future__ import annotations

import compileall
import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import TYPE_CHECKING, NamedTuple

from tests.support.http import Client, compose
from tests.support.waiting import PATIENCE_S, wait_until
from vm.drivers.qemu import QEMU, acceleration, free_port
from vm.paths import cache, require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator

_KERNEL_PACKAGE = "linux-image-cloud-amd64"
_MODULES = ("virtio_pci", "virtio_blk", "virtio_net")
# Parts of the kernel that hold them and what they need.
_MODULE_PARTS = (
    *("drivers/virtio", "drivers/block/virtio_blk.ko", "drivers/net/virtio_net.ko"),
    *("drivers/net/net_failover.ko", "net/core/failover.ko", "fs/xfs", "lib/libcrc32c.ko"),
)
_PACKAGES = ("mogpoll", "mogstored", "httptools", "psutil", "setproctitle")
_NOT_NEEDED = (
    *("test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "site-packages", "config-*"),
    *("_tkinter.*", "_sqlite3.*", "__pycache__"),
)
_LIBRARY = re.compile(r"(/\S+) \(0x")
_READY = re.compile(rb"\]: ready\s")
_MIB_OF_MEMORY = 512
_PORT = 7500
# In software it boots for some ten seconds; the host may have other things to do.
_BOOT_S = 10 * PATIENCE_S

# The neighbour syncs a small file now and then, as other programs do: names reach the disk early.
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
for module in {modules}; do modprobe $module || exit; done
[ $kind = ext4 ] || modprobe $kind || exit
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
mkdir -p /disks/dev1 /dev/shm /tmp
mount -t $kind -o noatime /dev/vda /disks/dev1 || exit
while :; do
    dd if=/dev/zero of=/disks/dev1/neighbour bs=1 count=1 conv=notrunc,fsync 2>/dev/null
    usleep 100000
done &
export PYTHONPATH=/site
exec {python} -m mogstored --docroot=/disks --httplisten=0.0.0.0:{port} \\
    --mgmtlisten=127.0.0.1:7501 --durability=$level
"""


class Guest:
    """A machine that runs; its console is in the file `console`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, console: Path) -> None:
        self._process = process
        self.http = ("127.0.0.1", port)
        self._console = console

    def cut(self) -> None:
        """Let the machine be gone, with all that its memory holds."""
        self._process.kill()
        self._process.wait()

    def wait_until_it_serves(self) -> None:
        def serves() -> bool:
            assert self._process.poll() is None, self.last_lines()
            # Its forwarded port takes connections from the start.
            if not _READY.search(self._console.read_bytes()):
                return False
            try:
                with Client(self.http) as client:
                    return client.request(compose("HEAD", "/dev1/none"), head=True).status == 404
            except (OSError, AssertionError):
                return False

        try:
            wait_until(serves, "the guest serves", _BOOT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.last_lines()}") from None

    def last_lines(self) -> str:
        return self._console.read_text(errors="replace")[-2000:]


class System(NamedTuple):
    """What a machine boots."""

    kernel: Path
    root: Path


def build() -> System:
    """Make the system of a guest anew: the sources may have changed.

    **Raises:** `VMError` when the host lacks a program; `AssertionError` when there is no kernel.
    """
    kernel = _kernel(cache() / "crash")
    return System(kernel, _archive(kernel, cache() / "crash"))


@contextmanager
def booted(system: System, image: Path, kind: str, level: str, console: Path) -> Iterator[Guest]:
    """Boot a machine whose only disk is `image`, with a file system of this kind.

    **Raises:** `VMError` when the host has no qemu.
    """
    port = free_port()
    command = command_line(system, image, port, f"kind={kind} level={level}")
    with console.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    guest = Guest(process, port, console)
    try:
        guest.wait_until_it_serves()
        yield guest
    finally:
        guest.cut()


def command_line(system: System, image: Path, port: int, words: str) -> list[str]:
    """Compose the command of a machine whose disk has a volatile cache.

    `cache=writeback` is that: the guest has to flush, and a flush of the guest is an fdatasync of
    the image. What is not flushed stays where the host keeps it, so a kill alone loses only what
    is in the memory of the guest.
    """
    accel = acceleration("auto")
    return [
        require_tool(QEMU, "qemu-system-x86"),
        *("-accel", "tcg,thread=multi" if accel == "tcg" else accel),
        *("-cpu", "max" if accel == "tcg" else "host"),
        *("-m", str(_MIB_OF_MEMORY), "-nodefaults", "-no-reboot", "-display", "none"),
        *("-serial", "stdio"),
        *("-kernel", str(system.kernel), "-initrd", str(system.root)),
        *("-append", f"console=ttyS0 quiet panic=-1 mitigations=off {words}"),
        *("-drive", f"file={image},if=virtio,format=raw,cache=writeback,file.locking=off"),
        # It reaches nothing, and is reached by this port only.
        *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:{_PORT}"),
        *("-device", "virtio-net-pci,netdev=net,romfile="),
    ]


def _kernel(directory: Path) -> Path:
    """Return Debian's kernel, which is taken from its package once."""
    unpacked = directory / "kernel"
    if not unpacked.exists():
        directory.mkdir(parents=True, exist_ok=True)
        apt = require_tool("apt-get", "apt")
        depends = _output("apt-cache", "depends", "--important", _KERNEL_PACKAGE)
        package = re.findall(r"Depends: (linux-image-\S+)", depends)[0]
        _output(apt, "download", "-q", package, cwd=directory)
        (file,) = directory.glob(f"{package}_*.deb")
        _output("dpkg-deb", "-x", str(file), str(directory / "new"))
        file.unlink()
        (directory / "new").rename(unpacked)
    (kernel,) = (unpacked / "boot").glob("vmlinuz-*")
    return kernel


def _archive(kernel: Path, directory: Path) -> Path:
    busybox = require_tool("busybox", "busybox-static")
    root = directory / "root"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "proc", "sys", "dev", "site"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    _copy_modules(kernel, root, busybox)
    _copy_python(root)
    init = root / "init"
    python = Path(sys.executable).resolve()
    init.write_text(_INIT.format(modules=" ".join(_MODULES), python=python, port=_PORT))
    init.chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    made = directory / "root.cpio"
    with made.open("wb") as output:
        packing = [busybox, "cpio", "-o", "-H", "newc"]
        subprocess.run(
            packing,
            input=names.encode(),
            stdout=output,
            stderr=subprocess.PIPE,
            cwd=root,
            check=True,
        )
    return made


def _copy_modules(kernel: Path, root: Path, busybox: str) -> None:
    release = kernel.name.removeprefix("vmlinuz-")
    modules = Path("lib/modules", release)
    for part in _MODULE_PARTS:
        source, target = (top / modules / "kernel" / part for top in (kernel.parents[1], root))
        _copy(source, target)
    _output(busybox, "depmod", "-b", str(root), release)


def _copy_python(root: Path) -> None:
    """Copy the interpreter to where it is here, and what the node imports."""
    python, library = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    _copy(python, _below(root, python))
    _copy(library, _below(root, library))
    for name in _PACKAGES:
        (source,) = importlib.import_module(name).__path__
        _copy(Path(source), root / "site" / name)
    # Where it is emulated, compiling takes longer than all the rest.
    for top in (_below(root, library), root / "site"):
        compileall.compile_dir(
            top, quiet=2, stripdir=str(root), invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
        )
    objects = [_below(root, python), *root.rglob("*.so")]
    for line in _output("ldd", *map(str, objects)).splitlines():
        if (found := _LIBRARY.search(line)) and not _below(root, Path(found[1])).exists():
            _copy(Path(found[1]), _below(root, Path(found[1])))


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_NOT_NEEDED))
    else:
        shutil.copy2(source, target)


def _output(*command: str, cwd: Path | None = None) -> str:
    env = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=env)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)[:200]}: {done.stderr.strip()[-500:]}")
    return done.stdout
