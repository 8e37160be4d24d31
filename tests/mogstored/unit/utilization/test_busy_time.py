"""The kernel's counters of busy time, and what is said of those that are missing."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from unittest import mock

import psutil
import pytest

from mogstored.utilization.busy_time import LinuxCounters, PsutilCounters, parse_diskstats

# Linux 2.6, 4.18 and 5.5, and lxcfs 5.0.
SDA = "   8       0 sda 117 11 256 9 221 88 10278 162 0 156 296"
SDB = "   8      16 sdb 117 11 256 9 221 88 10278 162 0 157 296 0 0 0 0"
NVME = " 259       0 nvme0n1 117 11 256 9 221 88 10278 162 0 158 296 0 0 0 0 129 123"
LXCFS = "   8      32 sdc 0 0 0 0 46 0 977 34 0 2 0 0 0 0"
SHORT = "   8      33 sdc1 1 2 3 4"
GOOD = f"{SDA}\n{SDB}\n{NVME}\n{LXCFS}\n"
COUNTS = {"sda": 156, "sdb": 157, "nvme0n1": 158, "sdc": 2}


def test_lines_of_all_kernels() -> None:
    assert parse_diskstats(GOOD.encode()) == (COUNTS, None)


@pytest.mark.parametrize(
    "line", [SHORT, "x", SDA.replace("156", "many"), "8 0 \u00e9 1"], ids=repr
)
@pytest.mark.parametrize("first", [True, False])
def test_odd_line_hides_no_other(line: str, first: bool) -> None:
    text = f"{line}\n{GOOD}" if first else f"{GOOD}{line}\n"
    counts, odd_line = parse_diskstats(text.encode())
    assert odd_line == line.strip()
    assert {name: counts.get(name) for name in ("sdb", "nvme0n1")} == {"sdb": 157, "nvme0n1": 158}


def test_first_line_of_a_disk_counts() -> None:
    again = SDA.replace("156", "0")
    assert parse_diskstats(f"{SDA}\n{again}\n".encode()).busy_ms == {"sda": 156}


def test_odd_line_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "diskstats"
    file.write_text(GOOD + SHORT)
    counters = LinuxCounters(str(file))
    for _ in range(3):
        assert counters() == COUNTS
    assert caplog.messages == [
        f"utilization of some disks is unknown: a line of {file} is not understood: "
        + SHORT.strip()
    ]


def test_counters_that_cannot_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counters = LinuxCounters(str(tmp_path / "missing"))
    for _ in range(3):
        assert counters() == {}
    (message,) = caplog.messages
    assert f"cannot read {tmp_path}/missing: No such file or directory (ENOENT)" in message


def test_no_disk_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "diskstats").write_text("")
    assert LinuxCounters(str(tmp_path / "diskstats"))() == {}
    assert caplog.messages == [
        f"utilization of some disks is unknown: {tmp_path}/diskstats lists no disk"
    ]


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("no disks"), NotImplementedError("no file"), OSError(errno.EPERM, "denied")],
)
def test_system_that_does_not_say(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", mock.Mock(side_effect=failure))
    counters = PsutilCounters()
    assert counters() == counters() == {}
    assert caplog.messages == [f"utilization of some disks is unknown: {failure}"]


@pytest.mark.parametrize("disks", [None, {}, {"disk0": object()}])
def test_system_that_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
    disks: dict[str, object] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_kwargs: disks)
    assert PsutilCounters()() == {}
    assert len(caplog.messages) == 1


def test_only_disks_that_are_counted_are_listed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disks = {"ada0": mock.Mock(busy_time=7), "pass0": object()}
    look = mock.Mock(return_value=disks)
    monkeypatch.setattr(psutil, "disk_io_counters", look)
    assert PsutilCounters()() == {"ada0": 7}
    # As the kernel has them: a counter that went back shows.
    look.assert_called_once_with(perdisk=True, nowrap=False)
    assert caplog.messages == []


def test_both_ways_count_the_same_disks() -> None:
    if sys.platform != "linux":
        pytest.skip("/proc/diskstats is Linux's")
    ours, psutils = LinuxCounters()(), PsutilCounters()()
    if not psutils:
        pytest.skip("this system counts no disks")
    assert ours.keys() == psutils.keys()
    assert all(psutils[name] - 1000 <= busy_ms <= psutils[name] for name, busy_ms in ours.items())
