"""Errors that are too many, and those that are not."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import cast

import pytest

from mogstored.config.model import Config
from mogstored.devices.sickness import symptoms
from mogstored.devices.sickness.standing import Standing
from mogstored.devices.sickness.symptoms import ErrorLimits, Symptoms
from tests.support.clock import stop_clock

LIMITS = ErrorLimits(error_write_limit=3, error_read_limit=5, window_s=60)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return stop_clock(monkeypatch, symptoms, 1000.0)


def error(number: int = errno.EIO) -> OSError:
    return OSError(number, os.strerror(number))


def notes(device: Symptoms, operation: str, count: int, number: int = errno.EIO) -> list[bool]:
    """Return of each error, in different files, whether it was one too many."""
    return [
        device.note(operation, b"dev1/%d" % each, error(number)) is not None
        for each in range(count)
    ]


@pytest.mark.parametrize("operation", ["write", "delete", "mkcol"])
def test_write_errors_end_writes(operation: str) -> None:
    device = Symptoms(LIMITS)
    assert notes(device, operation, 2) == [False, False]
    assert device.note(operation, b"dev1/x", error()) == (
        Standing.NO_WRITES,
        "3 write errors in 60 s, last Input/output error (EIO)",
    )


@pytest.mark.parametrize("operation", ["read", "digest"])
def test_read_errors_end_all(operation: str) -> None:
    device = Symptoms(LIMITS)
    assert notes(device, operation, 5) == [False] * 4 + [True]
    found = [device.note(operation, b"%d" % each, error(errno.ENXIO)) for each in range(5)]
    reason = f"5 read errors in 60 s, last {os.strerror(errno.ENXIO)} (ENXIO)"
    assert found == [None] * 4 + [(Standing.DOWN, reason)], "they are counted anew"


def test_kinds_are_counted_apart() -> None:
    device = Symptoms(LIMITS)
    assert not any(notes(device, "write", 2) + notes(device, "read", 4))


def test_file_that_fails_again_and_again_counts_once() -> None:
    device = Symptoms(LIMITS)
    assert not any(device.note("write", b"dev1/x", error()) for _ in range(100))


def test_old_errors_do_not_count(now: list[float]) -> None:
    device = Symptoms(LIMITS)
    for each in range(20):
        assert device.note("write", b"%d" % each, error()) is None
        now[0] += 30.5
    now[0] -= 0.5
    assert device.note("write", b"x", error()) is None
    now[0] += 30
    assert device.note("write", b"y", error()) is not None, "one of 60 s ago still counts"


def test_file_that_fails_again_counts_from_then_on(now: list[float]) -> None:
    device = Symptoms(LIMITS)
    for path in (b"a", b"b", b"a"):
        assert device.note("write", path, error()) is None
        now[0] += 40
    assert device.note("write", b"c", error()) is None
    assert device.note("write", b"d", error()) is not None


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EACCES, errno.ENOENT, errno.ENODEV, errno.ETIMEDOUT, None]
)
def test_other_errors_say_nothing_of_the_disk(number: int | None) -> None:
    device = Symptoms(LIMITS)
    assert not any(device.note("write", b"%d" % n, OSError(number, "x")) for n in range(9))


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENXIO, errno.EBADMSG])
def test_errors_of_sick_disks(number: int) -> None:
    assert any(notes(Symptoms(LIMITS), "write", 3, number))


def test_without_a_limit_nothing_is_counted() -> None:
    assert not any(notes(Symptoms(), "write", 100) + notes(Symptoms(), "read", 100))


def test_forgets() -> None:
    device = Symptoms(LIMITS)
    for operation, count in (("write", 2), ("read", 4)):
        notes(device, operation, count)
        device.forget()
        assert not any(notes(device, operation, count))


def test_limits_that_change_hold_at_once() -> None:
    limits = ErrorLimits(error_write_limit=100)
    device = Symptoms(limits)
    notes(device, "write", 5)
    limits.error_write_limit = 3
    found = device.note("write", b"x", error())
    assert found is not None
    assert found[1].startswith("3 write errors in 60 s,")


def test_limits_of_a_configuration() -> None:
    limits = ErrorLimits()
    config = SimpleNamespace(error_write_limit=1, error_read_limit=2, error_window_s=3)
    limits.apply(cast("Config", config))
    assert limits == ErrorLimits(error_write_limit=1, error_read_limit=2, window_s=3)
