"""Which mount a directory lies on."""

from __future__ import annotations

import pytest

from mogstored.devices.mounts import open_mounts
from mogstored.devices.mounts.table import Mount, MountTable, last_names


def _source(mount: Mount | None) -> str | None:
    return None if mount is None else mount.source


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/var/mogdata/dev1", "one"),
        ("/var/mogdata/dev1/0/000", "one"),
        ("/var/mogdata/dev10", "data"),
        ("/var/mogdata", "data"),
        ("/var/mogdat", "root"),
        ("/", "root"),
        ("/elsewhere", "root"),
    ],
)
def test_longest_mount_point_above(path: str, source: str) -> None:
    table = MountTable(
        [Mount("/", "root"), Mount("/var/mogdata/dev1", "one"), Mount("/var/mogdata", "data")]
    )
    assert _source(table.above(path)) == source


def test_later_mount_hides_the_earlier() -> None:
    table = MountTable([Mount("/mnt", "hidden"), Mount("/mnt", "seen")])
    assert _source(table.above("/mnt/dev1")) == "seen"


def test_nothing_above() -> None:
    assert MountTable([Mount("/mnt", "x")]).above("/srv") is None


@pytest.mark.parametrize(
    ("mounts", "source"),
    [
        pytest.param([("/", "rootfs"), ("/", "/dev/sda1")], "/dev/sda1", id="slash, later"),
        pytest.param([("/", "/dev/sda1"), ("/", "rootfs")], "/dev/sda1", id="slash, earlier"),
        pytest.param([("/a", "x"), ("/srv", "near"), ("/b", "y")], "near", id="the one above"),
        pytest.param([("/", "/far"), ("/srv", "/near"), ("/", "/far2")], "/near", id="nearest"),
        pytest.param([("/srv", "/old"), ("/srv", "/new")], "/new", id="same place"),
        pytest.param([("/srv", "near"), ("/x", "/path")], "/path", id="a path says more"),
    ],
)
def test_mounts_of_one_file_system(mounts: list[tuple[str, str]], source: str) -> None:
    table = MountTable([Mount(point, name, 7) for point, name in mounts])
    assert _source(table.of_device(7, "/srv/dev1")) == source


def test_file_system_that_is_not_listed() -> None:
    assert MountTable([Mount("/", "x", 7)]).of_device(8, "/") is None


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("/dev/sda1", ("sda1",)),
        ("/dev/mapper/vg-data", ("mapper/vg-data", "vg-data")),
        ("tank/mog", ()),
        ("/export/x", ()),
    ],
)
def test_last_names_of_a_source(source: str, names: tuple[str, ...]) -> None:
    assert last_names(source) == names


def test_this_system_has_a_root() -> None:
    mounts = open_mounts()
    assert mounts.generation == 1
    assert mounts.locate("/", -1 % 2**32).source
