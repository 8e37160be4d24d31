"""From a directory to its disk by names alone, as on FreeBSD."""

from __future__ import annotations

import subprocess
from typing import NamedTuple
from unittest import mock

import pytest

from mogstored.devices.mounts.bsd import BSDMounts, disk_names, parse_glabel
from mogstored.devices.mounts.table import Origin

GLABEL = """\
     gpt/mog1     N/A  ada1p1
      ufs/data     N/A  da0s1a
label/bigdisk     N/A  da7
diskid/DISK-6QG3Z026     N/A  ada3
"""
LABELS = {
    "gpt/mog1": "ada1p1",
    "ufs/data": "da0s1a",
    "label/bigdisk": "da7",
    "diskid/DISK-6QG3Z026": "ada3",
}


class Partition(NamedTuple):
    """As psutil has it."""

    device: str
    mountpoint: str


class System:
    """What the system would say."""

    def __init__(self, *mounts: tuple[str, str]) -> None:
        self.partitions = [Partition(*mount) for mount in mounts]
        self.glabel_runs = 0

    def list_partitions(self) -> list[Partition]:
        return self.partitions

    def glabel(self) -> str:
        self.glabel_runs += 1
        return GLABEL

    def open(self) -> BSDMounts:
        return BSDMounts(self.list_partitions, self.glabel)


def test_glabel_status() -> None:
    assert parse_glabel(GLABEL) == LABELS


@pytest.mark.parametrize("text", ["", "two words\n", "\n\n"])
def test_glabel_that_says_nothing(text: str) -> None:
    assert parse_glabel(text) == {}


@pytest.mark.parametrize(
    ("provider", "names"),
    [
        ("ada0", ("ada0",)),
        ("ada0p2", ("ada0p2", "ada0")),
        ("ada10p12", ("ada10p12", "ada10")),
        ("da0s1", ("da0s1", "da0")),
        ("da0s1a", ("da0s1a", "da0")),
        ("da0a", ("da0a", "da0")),
        ("nda0p1", ("nda0p1", "nda0")),
        ("nvme0ns1", ("nvme0ns1",)),
        ("ada0p3.eli", ("ada0p3", "ada0")),
        ("gpt/mog1", ("ada1p1", "ada1")),
        ("gpt/mog1.eli", ("ada1p1", "ada1")),
        ("ufs/data", ("da0s1a", "da0")),
        ("label/bigdiskp1", ("da7p1", "da7")),
        ("diskid/DISK-6QG3Z026p2", ("ada3p2", "ada3")),
        ("gpt/unknown", ("gpt/unknown",)),
        ("mirror/gm0p1", ("mirror/gm0p1",)),
    ],
)
def test_names_of_a_provider(provider: str, names: tuple[str, ...]) -> None:
    assert disk_names(provider, LABELS) == names


def test_partition() -> None:
    mounts = System(("/dev/ada0p2", "/"), ("/dev/da1p1", "/mog/dev1")).open()
    assert mounts.locate("/mog/dev1", 77) == Origin("/dev/da1p1", ("da1p1", "da1"))
    assert mounts.locate("/mog/dev10", 77) == Origin("/dev/ada0p2", ("ada0p2", "ada0"))


def test_label() -> None:
    mounts = System(("/dev/ada0p2", "/"), ("/dev/gpt/mog1", "/mog/dev1")).open()
    origin = mounts.locate("/mog/dev1", 77)
    assert origin == Origin("/dev/gpt/mog1", ("ada1p1", "ada1", "gpt/mog1", "mog1"))


def test_data_set_of_zfs_has_no_disk() -> None:
    mounts = System(("zroot/ROOT/default", "/"), ("tank/mog", "/mog")).open()
    assert mounts.locate("/mog/dev1", 77) == Origin("tank/mog", ())


def test_nothing_mounted() -> None:
    assert System().open().locate("/mog/dev1", 77) == Origin()


def test_labels_are_only_asked_for_when_there_are_any() -> None:
    system = System(("zroot/ROOT/default", "/"), ("/dev/ada0p2", "/mog"))
    system.open()
    assert system.glabel_runs == 0


def test_labels_are_asked_for_again_when_the_mounts_change() -> None:
    system = System(("/dev/gpt/mog1", "/mog"))
    mounts = system.open()
    mounts.reread()
    assert (system.glabel_runs, mounts.generation) == (1, 1)
    system.partitions = [*system.partitions, Partition("/dev/ufs/data", "/data")]
    mounts.reread()
    assert (system.glabel_runs, mounts.generation) == (2, 2)


def test_missing_glabel_is_no_obstacle(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    mounts = BSDMounts(System(("/dev/gpt/mog1", "/mog")).list_partitions)
    assert mounts.locate("/mog/dev1", 77).source == "/dev/gpt/mog1"
    assert caplog.messages == [
        "cannot look up disk labels: glabel: No such file or directory (ENOENT)"
    ]


def test_psutil_lists_this_system() -> None:
    assert BSDMounts().locate("/", 0).source


def test_glabel_that_hangs_is_no_obstacle(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = subprocess.TimeoutExpired("glabel", 5.0)
    monkeypatch.setattr(subprocess, "run", mock.Mock(side_effect=late))
    mounts = BSDMounts(System(("/dev/gpt/mog1", "/mog")).list_partitions)
    assert mounts.locate("/mog/dev1", 77).source == "/dev/gpt/mog1"
    assert caplog.messages == ["cannot look up disk labels: glabel has not answered for 5 s"]
