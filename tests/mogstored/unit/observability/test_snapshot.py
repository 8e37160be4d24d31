"""Histograms, and snapshots as bytes."""

from __future__ import annotations

import errno

import pytest

from mogstored.observability.device_errors import DeviceErrors
from mogstored.observability.histogram import (
    DEVICE_BOUNDS_S,
    HTTP_BOUNDS_S,
    Histogram,
    HistogramState,
)
from mogstored.observability.snapshot import DeviceSnapshot, ProcessSnapshot

SOME = HistogramState((1, 0, 2), 3.5)


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [(0.0, (1, 0, 0)), (1.0, (1, 0, 0)), (1.5, (0, 1, 0)), (2.0, (0, 1, 0)), (9.0, (0, 0, 1))],
)
def test_bound_belongs_to_its_bucket(seconds: float, counts: tuple[int, ...]) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.add(seconds)
    assert histogram.state() == HistogramState(counts, seconds)


def test_states_add_up() -> None:
    assert SOME.plus(HistogramState((1, 1, 1), 0.5)) == HistogramState((2, 1, 3), 4.0)
    assert SOME.total == 3


def test_states_with_other_bounds_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="shorter"):
        SOME.plus(HistogramState((1,), 0.5))


def test_snapshot_survives_as_bytes() -> None:
    full = DeviceSnapshot(
        *("/srv", "dev1", "/srv/dev1", "/dev/sda1", "ok", 1 << 50, 5, 7, 3, 2, 1, 1.5, 0.25),
        wait=SOME,
        operations={"read": SOME},
        errors={("read", "EIO"): 3},
        scrub={"files": 2},
        scrub_times=(1.5, 0.0),
        scrub_findings=((1.0, "/srv/dev1/a", "mismatch", "md5 1", "md5 2"),),
    )
    empty = DeviceSnapshot("/srv", "dev2", "/srv/dev2", "", "failed")
    snapshot = ProcessSnapshot(
        *(12, 3, 1.7e9, "serving", {"GET": {200: 5}}, {"GET": SOME}, 1 << 40, 10),
        connections={("http", "idle"): 10_000},
        commands={"size": 1},
        threads={("worker", "idle"): 12},
        devices=(full, empty),
    )
    read = ProcessSnapshot.decode(snapshot.encode())
    assert read == snapshot
    assert isinstance(read.durations["GET"], HistogramState)
    assert isinstance(read.devices[0].operations["read"], HistogramState)
    assert read.devices[1].wait is None


@pytest.mark.parametrize(
    "number", [errno.EROFS, errno.EACCES, errno.EIO, errno.ELOOP, errno.ENOSPC]
)
def test_error_of_the_disk_is_counted_by_its_name(number: int) -> None:
    errors = DeviceErrors()
    errors.note("read", OSError(number, ""))
    errors.note("write", OSError(number, ""))
    errors.note("read", OSError(number, ""))
    name = errno.errorcode[number]
    assert errors.counts() == {("read", name): 2, ("write", name): 1}


@pytest.mark.parametrize(
    "number",
    [
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EOPNOTSUPP),
        *(errno.ENAMETOOLONG, errno.EINVAL, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    ],
    ids=errno.errorcode.get,
)
def test_error_of_the_request_is_not_counted(number: int) -> None:
    errors = DeviceErrors()
    errors.note("read", OSError(number, ""))
    assert errors.counts() == {}


def test_error_without_a_number_counts() -> None:
    errors = DeviceErrors()
    errors.note("read", OSError("short read"))
    assert errors.counts() == {("read", "EIO"): 1}


@pytest.mark.parametrize(
    ("bounds", "ends"), [(DEVICE_BOUNDS_S, (0.001, 10.0)), (HTTP_BOUNDS_S, (0.0001, 60.0))]
)
def test_bounds_ascend(bounds: tuple[float, ...], ends: tuple[float, float]) -> None:
    assert sorted(set(bounds)) == list(bounds)
    assert (bounds[0], bounds[-1]) == ends
