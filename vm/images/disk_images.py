"""From `image:` in machines.yml to the files that qemu boots: downloaded, local, or built.

Downloaded and local images boot by themselves. A script of vm/images/ builds a bare file system
with the kernel beside it, which needs neither partitions nor a boot loader.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vm.errors import VMError
from vm.images import checksum, download
from vm.machines import Image, Machine
from vm.paths import HERE, cache, require_space
from vm.progress import step

_BUILD_BYTES = 8 << 30
# The largest of the published images: packed and unpacked beside each other.
_DOWNLOAD_BYTES = 5 << 30


@dataclass(frozen=True, slots=True)
class Bootable:
    """What qemu boots: a disk, and for a built one its kernel and initrd."""

    disk: Path
    kernel: Path | None = None
    initrd: Path | None = None


def prepare(machine: Machine, image: Image) -> Bootable:
    """Return the machine's image; a missing one is downloaded or built first."""
    if image.build is not None:
        return _built(machine, image.build)
    if image.url is not None:
        return Bootable(_fetched(machine, image.url, str(image.checksum)))
    return Bootable(_local(machine.name, Path(str(image.path)), str(image.checksum)))


def space_needed(machine: Machine, image: Image) -> int:
    """Return the bytes that `prepare` will write, roughly; 0 if the image is there."""
    if image.build is not None:
        return 0 if _built_files(machine).disk.exists() else _BUILD_BYTES
    if image.url is not None:
        return 0 if kept(machine, image.url).exists() else _DOWNLOAD_BYTES
    return 0


def _fetched(machine: Machine, url: str, published: str) -> Path:
    name = url.rpartition("/")[2]
    ready = kept(machine, url)
    if ready.exists():
        return ready
    packed = ".xz" if name.endswith(".xz") else ""
    arrived = ready.with_name(f"{ready.name}{packed}.unchecked")
    if not arrived.exists():
        download.fetch(url, arrived, machine.name)
    checksum.verify(arrived, checksum.resolve(published, name), machine.name)
    if packed:
        download.unpack(arrived, ready, machine.name)
        arrived.unlink()
    else:
        arrived.replace(ready)
    return ready


def kept(machine: Machine, url: str) -> Path:
    """Return where a download is kept. Some publishers name all releases' files alike."""
    name = url.rpartition("/")[2].removesuffix(".xz")
    own = name if machine.release in name else f"{machine.system}-{machine.release}-{name}"
    return cache() / "images" / own


def _local(machine: str, path: Path, published: str) -> Path:
    path = path if path.is_absolute() else HERE / path
    if not path.is_file():
        raise VMError(
            f"{machine}: no image at {path}", "Correct `image: path` in vm/machines.yml."
        )
    checksum.verify(path, checksum.resolve(published, path.name), machine)
    if path.suffix != ".xz":
        return path
    ready = cache() / "images" / path.stem
    if not ready.exists():
        download.unpack(path, ready, machine)
    return ready


def _built(machine: Machine, script: str) -> Bootable:
    found = _built_files(machine)
    if found.disk.exists():
        return found
    into = found.disk.parent
    require_space(into, _BUILD_BYTES, f"building {machine.name}")
    step(machine.name, f"building its image with vm/images/{script}; takes minutes, once")
    command = ["sh", str(HERE / "images" / script), machine.release, str(into)]
    done = subprocess.run(
        [*command, *machine.packages], env={**os.environ, "LC_ALL": "C"}, check=False
    )
    if done.returncode != 0:
        raise VMError(
            f"{machine.name}: vm/images/{script} failed with status {done.returncode}",
            "See its output above. It needs root, mmdebstrap, e2fsprogs and qemu-utils.",
        )
    return found


def _built_files(machine: Machine) -> Bootable:
    into = cache() / "images" / machine.name
    return Bootable(into / "disk.qcow2", into / "vmlinuz", into / "initrd")
