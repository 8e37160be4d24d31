"""From `image:` in machines.yml to the files that qemu boots: fetched, checked, or built here.

What is published or lies at a path boots by itself. What a script of vm/images/ builds is a bare
file system with the kernel beside it, since that needs neither partitions nor a boot loader.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vm import checksum, download
from vm.errors import VMError
from vm.machines import Image, Machine
from vm.place import HERE, cache, require_space
from vm.progress import step

_BUILD_BYTES = 8 << 30


@dataclass(frozen=True, slots=True)
class Bootable:
    """What qemu boots: a disk, and for built ones a kernel and its first file system."""

    disk: Path
    kernel: Path | None = None
    initrd: Path | None = None


def prepare(machine: Machine, image: Image) -> Bootable:
    """Return the machine's image, after fetching or building it if it is not there yet."""
    if image.build is not None:
        return _built(machine, image.build)
    if image.url is not None:
        return Bootable(_fetched(machine.name, image.url, str(image.checksum)))
    return Bootable(_local(machine.name, Path(str(image.path)), str(image.checksum)))


def _fetched(machine: str, url: str, published: str) -> Path:
    name = url.rpartition("/")[2]
    ready = cache() / "images" / name.removesuffix(".xz")
    if ready.exists():
        return ready
    arrived = ready.with_name(name + ".unchecked")
    if not arrived.exists():
        download.fetch(url, arrived, machine)
    checksum.verify(arrived, checksum.resolve(published, name), machine)
    if name.endswith(".xz"):
        download.unpack(arrived, ready, machine)
        arrived.unlink()
    else:
        arrived.replace(ready)
    return ready


def _local(machine: str, path: Path, published: str) -> Path:
    path = path if path.is_absolute() else HERE / path
    if not path.is_file():
        raise VMError(
            f"{machine}: there is no image at {path}", "`image: path` in vm/machines.yml names it."
        )
    checksum.verify(path, checksum.resolve(published, path.name), machine)
    if path.suffix != ".xz":
        return path
    ready = cache() / "images" / path.stem
    if not ready.exists():
        download.unpack(path, ready, machine)
    return ready


def _built(machine: Machine, script: str) -> Bootable:
    into = cache() / "images" / machine.name
    found = Bootable(into / "disk.qcow2", into / "vmlinuz", into / "initrd")
    if found.disk.exists():
        return found
    require_space(into, _BUILD_BYTES, f"building {machine.name}")
    step(machine.name, f"building its image with vm/images/{script}; once, it takes minutes")
    command = ["sh", str(HERE / "images" / script), machine.release, str(into)]
    done = subprocess.run(
        [*command, *machine.packages], env={**os.environ, "LC_ALL": "C"}, check=False
    )
    if done.returncode != 0:
        raise VMError(
            f"{machine.name}: vm/images/{script} failed with status {done.returncode}",
            "What it said stands above. It needs root, mmdebstrap, e2fsprogs and qemu-utils.",
        )
    return found
