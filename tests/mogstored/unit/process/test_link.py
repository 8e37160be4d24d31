"""Messages between a master and a worker, whole in spite of how they arrive."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mogstored.process.link import Kind, Link
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = b"x" * 3_000_000


@pytest.fixture
def ends() -> Iterator[tuple[Link, Link]]:
    near, far = Link.pair()
    yield near, far
    near.close()
    far.close()


def test_messages_arrive_in_order_with_their_content(ends: tuple[Link, Link]) -> None:
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


def test_both_directions(ends: tuple[Link, Link]) -> None:
    near, far = ends
    far.send(Kind.WANT, b"1")
    assert list(near.receive()) == [(Kind.WANT, b"1")]


def test_message_in_single_bytes() -> None:
    left, right = socket.socketpair()
    with left, right:
        link = Link(right)
        got = []
        for byte in b"\x03\0\0\0\x02" + b"12" + b"\x01\0\0\0\0":
            left.send(bytes([byte]))
            got += list(link.receive())
        assert got == [(Kind.CLIENTS, b"12"), (Kind.READY, b"")]


def test_end_is_noticed_after_the_last_message(ends: tuple[Link, Link]) -> None:
    near, far = ends
    near.send(Kind.SHUTDOWN)
    near.close()
    assert list(far.receive()) == [(Kind.SHUTDOWN, b"")]
    assert far.is_over
    far.send(Kind.WANT)


def test_message_larger_than_the_buffers_arrives_whole(ends: tuple[Link, Link]) -> None:
    near, far = ends
    sender = threading.Thread(target=near.send, args=(Kind.REPORT, LARGE))
    sender.start()
    got: list[tuple[Kind, bytes]] = []

    def has_come() -> bool:
        got.extend(far.receive())
        return bool(got)

    wait_until(has_come, "the message has come")
    sender.join(10.0)
    assert got == [(Kind.REPORT, LARGE)]


def test_messages_to_an_end_that_does_not_read_are_lost_and_not_waited_for(
    ends: tuple[Link, Link],
) -> None:
    near, far = ends
    for _ in range(100_000):
        near.send(Kind.ALIVE)
    received = list(far.receive())
    assert 0 < len(received) < 100_000
    assert set(received) == {(Kind.ALIVE, b"")}
    near.send(Kind.READY)
    assert list(far.receive()) == [(Kind.READY, b"")]
