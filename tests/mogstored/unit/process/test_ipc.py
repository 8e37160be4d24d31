"""Messages between a master and a worker, whole however they arrive."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from mogstored.log.bounded_writer import FlushResult
from mogstored.process.ipc import IpcChannel, Kind
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = b"x" * 3_000_000


@pytest.fixture
def ends() -> Iterator[tuple[IpcChannel, IpcChannel]]:
    near, far = IpcChannel.pair()
    yield near, far
    near.close()
    far.close()


def test_messages_arrive_in_order_with_their_content(ends: tuple[IpcChannel, IpcChannel]) -> None:
    near, far = ends
    near.send(Kind.READY)
    near.send(Kind.CLIENTS, b"12")
    near.send(Kind.REPORT, b"\0\n" * 100)
    assert list(far.receive()) == [
        (Kind.READY, b""),
        (Kind.CLIENTS, b"12"),
        (Kind.REPORT, b"\0\n" * 100),
    ]
    assert list(far.receive()) == []
    assert not far.is_over


def test_both_directions(ends: tuple[IpcChannel, IpcChannel]) -> None:
    near, far = ends
    far.send(Kind.WANT, b"1")
    assert list(near.receive()) == [(Kind.WANT, b"1")]


def test_message_in_single_bytes() -> None:
    left, right = socket.socketpair()
    with left, right:
        ipc = IpcChannel(right)
        got = []
        for byte in b"\x03\0\0\0\x02" + b"12" + b"\x01\0\0\0\0":
            left.send(bytes([byte]))
            got += list(ipc.receive())
        assert got == [(Kind.CLIENTS, b"12"), (Kind.READY, b"")]


def test_end_is_noticed_after_the_last_message(ends: tuple[IpcChannel, IpcChannel]) -> None:
    near, far = ends
    near.send(Kind.SHUTDOWN)
    near.close()
    assert list(far.receive()) == [(Kind.SHUTDOWN, b"")]
    assert far.is_over
    far.send(Kind.WANT)


def test_message_larger_than_the_buffers_arrives_whole(
    ends: tuple[IpcChannel, IpcChannel],
) -> None:
    near, far = ends
    near.send(Kind.REPORT, LARGE)
    near.send(Kind.WANT, b"1")
    got: list[tuple[Kind, bytes]] = []

    def has_come() -> bool:
        near.flush()
        got.extend(far.receive())
        return len(got) == 2

    wait_until(has_come, "the messages have come")
    assert got == [(Kind.REPORT, LARGE), (Kind.WANT, b"1")]
    assert near.flush() is FlushResult.DONE


def test_end_that_does_not_read_blocks_no_sender(ends: tuple[IpcChannel, IpcChannel]) -> None:
    """The newest of each kind is kept: memory is bounded, and no state is lost."""
    near, far = ends
    kept: list[None] = []
    near.on_pending = lambda: kept.append(None)
    near.send(Kind.SHUTDOWN)
    near.send(Kind.REPORT, LARGE)
    near.send(Kind.READY)
    for number in range(1000):
        near.send(Kind.REPORT, b"%d" % number)
        near.send(Kind.WANT, b"1" * (number % 2))
    assert near.flush() is FlushResult.FULL
    assert kept
    got: list[tuple[Kind, bytes]] = []

    def is_empty() -> bool:
        got.extend(far.receive())
        return near.flush() is FlushResult.DONE

    wait_until(is_empty, "everything is sent")
    got.extend(far.receive())
    assert got == [
        (Kind.SHUTDOWN, b""),
        (Kind.REPORT, LARGE),
        (Kind.READY, b""),
        (Kind.REPORT, b"999"),
        (Kind.WANT, b"1"),
    ]


def test_nothing_is_kept_for_an_end_that_is_gone(ends: tuple[IpcChannel, IpcChannel]) -> None:
    near, far = ends
    near.send(Kind.REPORT, LARGE)
    far.close()
    near.send(Kind.READY)
    assert near.flush() is FlushResult.DONE
