"""Files that others close: all of them, and no device behind another."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from mogstored.storage.closers import Closers
from tests.support.waiting import wait_until


@pytest.fixture
def closers() -> Iterator[Closers]:
    closers = Closers()
    yield closers
    closers.stop(10.0)


def _open_many(count: int) -> list[int]:
    return [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_everything_from_many_threads_is_closed_once(closers: Closers) -> None:
    """None is forgotten that comes while the job of its device is about to end."""

    def hand_over(number: int) -> None:
        for _ in range(100):
            closers.close_soon(b"dev%d" % (number % 3), _open_many(2))

    givers = [threading.Thread(target=hand_over, args=(number,)) for number in range(6)]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join()
    closers.attend(30.0)
    assert closers.closed == 6 * 100 * 2


def test_file_that_is_closed_already_stops_nothing(closers: Closers) -> None:
    fds = _open_many(3)
    os.close(fds[0])
    closers.close_soon(b"dev1", fds)
    closers.attend(30.0)
    assert closers.closed == 3
    assert not any(_is_open(fd) for fd in fds[1:])


def test_stop_does_not_wait_for_a_device_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, behind, other = _open_many(3)
    begun, release = threading.Event(), threading.Event()
    close = os.close

    def close_or_hang(fd: int) -> None:
        if fd == hanging:
            begun.set()
            release.wait(60)
        close(fd)

    monkeypatch.setattr(os, "close", close_or_hang)
    closers = Closers()
    try:
        closers.close_soon(b"dev1", [hanging, behind])
        assert begun.wait(30)
        closers.close_soon(b"dev2", [other])
        closers.stop(0.5)
        assert [_is_open(fd) for fd in (hanging, behind, other)] == [True, True, False]
    finally:
        release.set()
    wait_until(lambda: not _is_open(behind), "the rest is closed when it answers")
