"""Files that others close: all of them, and no device behind another."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from mogstored.storage.closers import Closers
from tests.support.descriptors import is_open
from tests.support.waiting import wait_until


@pytest.fixture
def closers() -> Iterator[Closers]:
    closers = Closers()
    yield closers
    closers.stop(10.0)


def _open_many(count: int) -> list[int]:
    return [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]


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
    assert not any(is_open(fd) for fd in fds[1:])


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What lets a close that hangs go on."""
    release = threading.Event()
    yield release
    release.set()


@pytest.fixture
def hanging(release: threading.Event, monkeypatch: pytest.MonkeyPatch) -> int:
    """A descriptor whose close hangs until `release`."""
    (hanging,) = _open_many(1)
    close = os.close

    def close_or_hang(fd: int) -> None:
        if fd == hanging:
            release.wait(60)
        close(fd)

    monkeypatch.setattr(os, "close", close_or_hang)
    return hanging


def test_stop_does_not_wait_for_a_device_that_hangs(
    hanging: int, release: threading.Event
) -> None:
    behind, other = _open_many(2)
    closers = Closers()
    closers.close_soon(b"dev1", [hanging, behind])
    closers.close_soon(b"dev2", [other])
    closers.stop(0.5)
    assert [is_open(fd) for fd in (hanging, behind, other)] == [True, True, False]
    release.set()
    wait_until(lambda: not is_open(behind), "the rest is closed when it answers")


def test_who_attends_leaves_when_told(hanging: int) -> None:
    """Else the node's stop would wait, for as long as files are kept, for a disk that hangs."""
    closers = Closers()
    closers.close_soon(b"dev1", [hanging])
    stop = threading.Event()
    attending = threading.Thread(target=closers.attend, args=(300.0, stop), daemon=True)
    attending.start()
    stop.set()
    attending.join(30.0)
    assert not attending.is_alive()
    closers.stop(0.1)
