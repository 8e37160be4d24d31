"""From a directory to its disk on Linux, with /proc and /sys made of paper."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mogstored.devices.mounts.linux import LinuxMounts, parse_mountinfo
from mogstored.devices.mounts.table import Mount, Origin

SDB1 = os.makedev(8, 17)

MOUNTINFO = b"""\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 8:17 / /mnt/with\\040blank rw,noatime shared:1 master:2 - xfs /dev/sdb1 rw
41 27 0:50 /@mog /mnt/btrfs rw - btrfs /dev/sdc rw,subvol=/@mog
42 27 0:51 / /mnt/over rw - overlay overlay rw,lowerdir=/a
43 27 0:52 / /mnt/zfs rw - zfs tank/mog rw
44 27 0:53 / /mnt/nfs rw - nfs4 host:/ex\\011port\\134x rw
45 27 0:54 / /mnt/empty rw - fuse  rw
46 27 0:55 / /mnt/tmp rw - tmpfs none rw
"""


@pytest.fixture
def mountinfo(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_bytes(MOUNTINFO)
    return path


@pytest.fixture
def sys_block(tmp_path: Path) -> Path:
    """Make /sys/dev/block, with a partition, a whole disk, an LVM volume and an old RAID."""
    devices = tmp_path / "sys" / "devices"
    numbers = tmp_path / "sys" / "dev" / "block"
    numbers.mkdir(parents=True)
    disks = {
        "8:16": "pci/sdb",
        "8:17": "pci/sdb/sdb1",
        "254:0": "virtio/vda",
        "253:2": "virtual/dm-2",
        "104:1": "pci/cciss!c0d0/cciss!c0d0p1",
    }
    for number, place in disks.items():
        (devices / place).mkdir(parents=True, exist_ok=True)
        (numbers / number).symlink_to(f"../../devices/{place}")
    for partition in ("pci/sdb/sdb1", "pci/cciss!c0d0/cciss!c0d0p1"):
        (devices / partition / "partition").write_text("1\n")
    (devices / "virtual/dm-2/dm").mkdir()
    (devices / "virtual/dm-2/dm/name").write_text("vg-mog\n")
    return numbers


@pytest.fixture
def mounts(mountinfo: Path, sys_block: Path) -> LinuxMounts:
    return LinuxMounts(str(mountinfo), str(sys_block))


def test_fields() -> None:
    assert list(parse_mountinfo(MOUNTINFO)) == [
        Mount("/proc", "proc", os.makedev(0, 21)),
        Mount("/", "/dev/vda", os.makedev(254, 0)),
        Mount("/mnt/with blank", "/dev/sdb1", SDB1),
        Mount("/mnt/btrfs", "/dev/sdc", os.makedev(0, 50)),
        Mount("/mnt/over", "overlay", os.makedev(0, 51)),
        Mount("/mnt/zfs", "tank/mog", os.makedev(0, 52)),
        Mount("/mnt/nfs", "host:/ex\tport\\x", os.makedev(0, 53)),
        Mount("/mnt/empty", "", os.makedev(0, 54)),
        Mount("/mnt/tmp", "none", os.makedev(0, 55)),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (rb"/a\040b", "/a b"),
        (rb"/a\011b", "/a\tb"),
        (rb"/a\012b", "/a\nb"),
        (rb"/a\134b", "/a\\b"),
        (rb"/a\134040b", "/a\\040b"),
        (b"/caf\xc3\xa9", "/café"),
        (b"/\xff", "/\udcff"),
    ],
)
def test_escapes(written: bytes, meant: str) -> None:
    line = b"1 0 8:1 / %b rw - ext4 /dev/sda1 rw\n" % written
    assert [mount.point for mount in parse_mountinfo(line)] == [meant]


@pytest.mark.parametrize(
    "line", [b"", b"1 0 8:1 / /mnt rw", b"1 0 eight:1 / /mnt rw - ext4 /dev/sda1 rw", b" - a b"]
)
def test_line_that_is_no_mount_is_skipped(line: bytes) -> None:
    assert list(parse_mountinfo(line + b"\n")) == []


def test_partition_and_its_disk(mounts: LinuxMounts) -> None:
    origin = mounts.locate("/mnt/with blank/dev1", SDB1)
    assert origin == Origin("/dev/sdb1", ("sdb1", "sdb"))


def test_whole_disk(mounts: LinuxMounts) -> None:
    assert mounts.locate("/srv/dev1", os.makedev(254, 0)).disks == ("vda",)


def test_device_mapper_names(mounts: LinuxMounts, mountinfo: Path) -> None:
    mountinfo.write_bytes(b"1 0 253:2 / /mnt/lvm rw - xfs /dev/mapper/vg-mog rw\n")
    mounts.reread()
    origin = mounts.locate("/mnt/lvm/dev1", os.makedev(253, 2))
    assert origin.disks == ("dm-2", "vg-mog", "mapper/vg-mog")


def test_exclamation_mark_stands_for_a_slash(mounts: LinuxMounts) -> None:
    disks = mounts.locate("/srv/dev1", os.makedev(104, 1)).disks
    assert disks[:2] == ("cciss/c0d0p1", "cciss/c0d0")


def test_subvolume_of_btrfs_is_found_by_its_place(mounts: LinuxMounts) -> None:
    # Its number is in no list, and /dev/sdc is not there: only its name is left.
    origin = mounts.locate("/mnt/btrfs/dev1", os.makedev(0, 99))
    assert origin == Origin("/dev/sdc", ("sdc",))


def _some_block_device() -> tuple[str, int]:
    for name in sorted(os.listdir("/dev")):
        found = os.lstat(f"/dev/{name}")
        if stat.S_ISBLK(found.st_mode):
            return f"/dev/{name}", found.st_rdev
    pytest.skip("there is no block device in /dev")


def test_block_device_behind_a_number_out_of_the_air(
    mounts: LinuxMounts, mountinfo: Path, sys_block: Path
) -> None:
    source, number = _some_block_device()
    link = sys_block / f"{os.major(number)}:{os.minor(number)}"
    link.unlink(missing_ok=True)
    link.symlink_to("../../devices/pci/sdb/sdb1")
    mountinfo.write_text(f"1 0 0:50 / /mnt/btrfs rw - btrfs {source} rw\n")
    mounts.reread()
    origin = mounts.locate("/mnt/btrfs/dev1", os.makedev(0, 99))
    assert origin.source == source
    assert origin.disks[:2] == ("sdb1", "sdb")


@pytest.mark.parametrize(
    ("path", "minor", "source"),
    [
        ("/mnt/over/dev1", 51, "overlay"),
        ("/mnt/zfs/dev1", 52, "tank/mog"),
        ("/mnt/nfs/dev1", 53, "host:/ex\tport\\x"),
        ("/mnt/empty/dev1", 54, ""),
        ("/mnt/tmp/dev1", 55, "none"),
    ],
)
def test_no_disk_below(mounts: LinuxMounts, path: str, minor: int, source: str) -> None:
    assert mounts.locate(path, os.makedev(0, minor)) == Origin(source, ())


def test_link_below_dev_is_resolved(
    mounts: LinuxMounts, mountinfo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.path.realpath
    links = {"/dev/mapper/vg-mog": "/dev/dm-2"}
    monkeypatch.setattr(os.path, "realpath", lambda path: links.get(path) or real(path))
    monkeypatch.setattr(os.path, "exists", lambda path: "partition" not in path)
    mountinfo.write_bytes(b"1 0 253:2 / /mnt rw - xfs /dev/mapper/vg-mog rw\n")
    mounts.reread()
    assert mounts.locate("/mnt/dev1", os.makedev(253, 2)).source == "/dev/dm-2"


@pytest.mark.parametrize("source", ["/dev/root", "rootfs", ""])
def test_source_that_says_nothing_gives_way_to_the_kernels_name(
    mounts: LinuxMounts, mountinfo: Path, source: str
) -> None:
    mountinfo.write_text(f"1 0 8:17 / / rw - ext4 {source} rw\n")
    mounts.reread()
    assert mounts.locate("/srv/dev1", SDB1).source == "/dev/sdb1"


def test_disk_is_known_though_its_mount_is_not(mounts: LinuxMounts, mountinfo: Path) -> None:
    mountinfo.write_bytes(b"")
    mounts.reread()
    assert mounts.locate("/srv/dev1", SDB1) == Origin("/dev/sdb1", ("sdb1", "sdb"))


def test_number_that_sysfs_does_not_know(mounts: LinuxMounts) -> None:
    assert mounts.locate("/srv/dev1", os.makedev(9, 9)).disks == ("vda",)


def test_unchanged_list_is_not_parsed_again(mounts: LinuxMounts) -> None:
    mounts.reread()
    assert mounts.generation == 1


def test_changed_list_is_a_new_generation(mounts: LinuxMounts, mountinfo: Path) -> None:
    mountinfo.write_bytes(MOUNTINFO + b"50 27 8:17 / /new rw - xfs /dev/sdb1 rw\n")
    mounts.reread()
    assert mounts.generation == 2


def test_list_that_cannot_be_read_any_more_is_kept(mounts: LinuxMounts, mountinfo: Path) -> None:
    mountinfo.unlink()
    mounts.reread()
    assert mounts.locate("/mnt/zfs/dev1", os.makedev(0, 52)).source == "tank/mog"
