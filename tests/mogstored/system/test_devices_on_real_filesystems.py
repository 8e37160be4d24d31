"""Devices on file systems of several kinds: the node's figures agree with df's."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from mogstored.devices.device import Devices
from mogstored.devices.inventory import DeviceInventory
from mogstored.devices.mounts.guard import MountGuard
from mogstored.devices.refresh import Refresher
from mogstored.devices.usage import Fill, UsageRecord
from mogstored.files.docroot import Docroot
from mogstored.utilization.busy_time import LinuxCounters
from mogstored.utilization.report import format_block
from tests.support.disks import small_disk
from tests.support.images import mounted, mounted_image, run
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts images as Linux does")

KINDS = ["ext4", "xfs", "btrfs"]
LOOP = re.compile(r"/dev/loop\d+")


@dataclass
class Site:
    """A docroot with its devices, as a node has it, and the mounts below."""

    docroot: Docroot
    devices: Devices
    inventory: DeviceInventory
    refresher: Refresher
    scratch: Path
    mounts: ExitStack

    def directory(self, devid: int) -> Path:
        path = Path(self.docroot.path, f"dev{devid}")
        path.mkdir(exist_ok=True)
        return path

    def mount_image(self, kind: str, devid: int) -> Path:
        directory = self.directory(devid)
        image = self.scratch / f"{kind}-{devid}.img"
        self.mounts.enter_context(mounted_image(kind, directory, image))
        return directory

    def look(self) -> None:
        self.refresher.start_first_round(10)

    def record(self, devid: int) -> UsageRecord:
        record = self.inventory.record(devid)
        assert record is not None
        return record

    def block(self) -> list[str]:
        report = dict.fromkeys(LinuxCounters()(), "0.45")
        return (
            format_block(self.inventory.devids(), self.inventory.disk_names, report)
            .decode()
            .split("\n")
        )


def _open_site(scratch: Path, *, require_mount: bool = False) -> Site:
    (scratch / "docroot").mkdir()
    docroot = Docroot(str(scratch / "docroot"))
    devices = Devices(docroot, lambda _task: None)
    inventory = DeviceInventory(docroot, devices, require_mount=require_mount)
    refresher = Refresher([inventory], interval_s=3600.0, writes_files=True)
    return Site(docroot, devices, inventory, refresher, scratch, ExitStack())


def _close(site: Site) -> None:
    site.refresher.stop()
    site.mounts.close()
    site.docroot.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = _open_site(tmp_path)
    yield site
    _close(site)


@pytest.fixture
def strict_site(tmp_path: Path) -> Iterator[Site]:
    """A site whose devices must be mounts."""
    site = _open_site(tmp_path, require_mount=True)
    yield site
    _close(site)


def _df(path: Path) -> Fill:
    """Return the figures of `df`; its total includes the blocks reserved for root."""
    line = run("df", "-k", "-P", str(path)).stdout.splitlines()[1].split()
    used, available = int(line[2]), int(line[3])
    inodes = run("df", "--output=itotal,iavail", str(path)).stdout.splitlines()[1].split()
    # Btrfs has 0 or a dash.
    known = map(int, inodes) if inodes[0] not in ("0", "-") else ()
    return Fill(available, used + available, used, int(line[4].rstrip("%")), *known)


def _assert_like_df(site: Site, devid: int) -> None:
    """Expect the same numbers; a file system may still be busy with what was written."""

    def same() -> bool:
        site.inventory.refresh(site.devices.of(b"dev%d" % devid), write=False)
        return site.record(devid).fill == _df(site.directory(devid))

    wait_until(same, f"df says {site.record(devid).fill}, not {_df(site.directory(devid))}")


@pytest.mark.parametrize("kind", KINDS)
def test_record_of_a_disk(site: Site, kind: str) -> None:
    directory = site.mount_image(kind, 1)
    (directory / "data").write_bytes(os.urandom(5_000_000))
    os.sync()
    site.look()
    assert LOOP.fullmatch(site.record(1).device)
    _assert_like_df(site, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_file_of_a_disk(site: Site, kind: str) -> None:
    directory = site.mount_image(kind, 1)
    site.look()
    assert (directory / "usage").read_bytes() == site.record(1).text()
    assert site.devices.of(b"dev1/x").name == b"dev1"


@pytest.mark.parametrize("kind", KINDS)
def test_utilization_of_a_disk(site: Site, kind: str) -> None:
    site.mount_image(kind, 1)
    site.look()
    loop = site.record(1).device.removeprefix("/dev/")
    assert site.inventory.disk_names(1)[0] == loop
    if loop not in LinuxCounters()():
        pytest.skip("this kernel does not count loop devices")
    assert site.block() == ["1\t0.45", ".", ""]


def test_all_kinds_side_by_side(site: Site) -> None:
    for devid, kind in enumerate(KINDS, 1):
        site.mount_image(kind, devid)
    site.directory(9)
    site.look()
    assert site.inventory.devids() == [1, 2, 3, 9]
    assert len({site.record(devid).device for devid in (1, 2, 3, 9)}) == 4


def test_blocks_reserved_for_root_are_not_there(site: Site) -> None:
    directory = site.mount_image("ext4", 1)
    site.look()
    state = os.statvfs(directory)
    assert state.f_bavail < state.f_bfree
    fill = site.record(1).fill
    assert fill.total_kib < state.f_blocks * state.f_frsize // 1024
    assert fill.total_kib == fill.used_kib + fill.available_kib


def test_memory_has_no_disk(site: Site) -> None:
    with small_disk(site.scratch / "memory", "size=1m"):
        Path(site.docroot.path, "dev1").symlink_to(site.scratch / "memory")
        site.look()
        # An empty one reports some use: it holds a file only now.
        site.look()
        assert site.record(1).device == "tmpfs"
        assert site.record(1).fill.total_kib == 1024
        assert site.block() == ["1\t-", ".", ""]


def test_subvolume_is_on_the_disk_of_its_file_system(site: Site) -> None:
    pool = site.scratch / "pool"
    pool.mkdir()
    with mounted_image("btrfs", pool, site.scratch / "pool.img"):
        run("btrfs", "subvolume", "create", str(pool / "sub"))
        Path(site.docroot.path, "dev1").symlink_to(pool / "sub")
        assert (pool / "sub").stat().st_dev != pool.stat().st_dev
        site.look()
        assert LOOP.fullmatch(site.record(1).device)
        assert site.inventory.disk_names(1) == (site.record(1).device.removeprefix("/dev/"),)


def test_several_devices_on_one_disk(site: Site) -> None:
    disk = site.scratch / "disk"
    disk.mkdir()
    with mounted_image("ext4", disk, site.scratch / "disk.img"):
        for devid in (1, 2):
            (disk / f"part{devid}").mkdir()
            Path(site.docroot.path, f"dev{devid}").symlink_to(disk / f"part{devid}")
        with mounted(site.directory(3), "--bind", str(disk / "part2")):
            site.look()
            assert site.inventory.devids() == [1, 2, 3]
            assert len({site.record(devid).device for devid in (1, 2, 3)}) == 1
            assert len({site.inventory.disk_names(devid) for devid in (1, 2, 3)}) == 1


def test_blank_in_the_name_of_the_mount_point(tmp_path: Path) -> None:
    scratch = tmp_path / "with blank\tand\\more"
    scratch.mkdir()
    site = _open_site(scratch)
    try:
        site.mount_image("ext4", 1)
        site.look()
        assert LOOP.fullmatch(site.record(1).device)
    finally:
        _close(site)


def test_disk_that_is_mounted_later(site: Site) -> None:
    site.directory(1)
    site.look()
    before = site.record(1)
    site.mount_image("ext4", 1)
    site.look()
    assert site.record(1).device != before.device
    assert site.record(1).fill.total_kib < 32 * 1024


def test_unmounting_is_not_in_the_way(site: Site) -> None:
    directory = site.directory(1)
    # The fixture of the image fails the test if a process keeps it busy.
    with mounted_image("ext4", directory, site.scratch / "image"):
        site.look()
    directory.chmod(0)
    site.look()
    assert site.inventory.devids() == []


def test_read_only_disk_lives_in_memory(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    directory = site.mount_image("ext4", 1)
    site.look()
    written = (directory / "usage").read_bytes()
    written_ns = (directory / "usage").stat().st_mtime_ns
    caplog.set_level(logging.INFO, "mogstored")
    run("mount", "-o", "remount,ro", str(directory))
    before = site.record(1)
    site.look()
    site.look()
    assert site.record(1) is not before
    assert (directory / "usage").read_bytes() == written
    run("mount", "-o", "remount,rw", str(directory))
    site.look()
    assert (directory / "usage").stat().st_mtime_ns > written_ns
    assert [record.message for record in caplog.records] == [
        f"{directory} is read-only: PUT and DELETE are answered with 403",
        f"{directory} is writable again",
    ]


def test_full_disk_lives_in_memory(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    memory = site.scratch / "memory"
    with small_disk(memory, "size=64k,nr_inodes=8"):
        Path(site.docroot.path, "dev1").symlink_to(memory)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (memory / "filler").write_bytes(bytes(1 << 20))
        site.look()
        assert site.record(1).fill[:4] == Fill(0, 64, 64, 100)[:4]
        assert sorted(os.listdir(memory)) == ["filler"]
        assert os.strerror(errno.ENOSPC) in caplog.text


def test_device_must_be_a_mount(strict_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mogstored")
    site = strict_site
    site.directory(1)
    site.mount_image("ext4", 2)
    site.look()
    assert site.inventory.devids() == [2]
    guard = MountGuard(site.docroot)
    assert (guard.is_unmounted(1), guard.is_unmounted(2)) == (True, False)
    site.mount_image("ext4", 1)
    site.look()
    assert site.inventory.devids() == [1, 2]
    assert not MountGuard(site.docroot).is_unmounted(1)
    assert [record.message for record in caplog.records] == [
        f"{site.docroot.path}/dev1 is not mounted, and left out",
        f"{site.docroot.path}/dev1 is mounted now",
    ]


def test_device_that_loses_its_mount(strict_site: Site) -> None:
    site = strict_site
    directory = site.directory(1)
    with mounted_image("ext4", directory, site.scratch / "image"):
        site.look()
        assert site.inventory.devids() == [1]
    assert MountGuard(site.docroot).is_unmounted(1)
    site.look()
    assert site.inventory.devids() == []
    assert os.listdir(directory) == []
