"""Idle times of a TCP connection, as the kernel counts them."""

from __future__ import annotations

import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mogpoll import last_data_received_ms, silence_ms
from mogpoll.system import tcpinfo
from mogpoll.system.tcpinfo import acknowledged_ms, undelivered
from tests.support.sockets import drain, fill, tcp_pair
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

fills_it = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux notes when data last arrived"
)


def assert_counts_from(act: Callable[[], object], elapsed_ms: Callable[[], int | None]) -> None:
    """Expect that the time, which is some 50 ms long before, counts from `act` afterwards."""
    wait_until(lambda: (elapsed_ms() or 0) >= 50, "50 ms without anything")
    began = time.monotonic()
    act()

    def counts_anew() -> bool:
        found = elapsed_ms()
        return found is not None and found <= (time.monotonic() - began) * 1000 + 20

    wait_until(counts_anew, "it counts anew")


@fills_it
def test_time_since_data_arrived() -> None:
    with tcp_pair() as (near, far):
        assert_counts_from(partial(far.send, b"a"), partial(last_data_received_ms, near))


@fills_it
@pytest.mark.parametrize("sends", [True, False], ids=["sending", "receiving"])
def test_silence_ends_with_data_either_way(sends: bool) -> None:
    with tcp_pair() as (near, far):
        sender = near if sends else far
        assert_counts_from(partial(sender.send, b"a"), partial(silence_ms, near))


@fills_it
def test_silence_counts_from_before_the_connection_is_accepted() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), 5.0) as far,
    ):
        wait_until(lambda: (silence_ms(far) or 0) >= 50, "50 ms without data")
        near, _ = listener.accept()
        with near:
            assert (silence_ms(near) or 0) >= 40


def test_unknown_of_what_is_not_tcp() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert last_data_received_ms(near) is None
        assert silence_ms(near) is None


def test_unknown_of_a_closed_socket() -> None:
    with tcp_pair() as (near, _):
        near.close()
        assert last_data_received_ms(near) is None
        assert silence_ms(near) is None


def test_unknown_where_the_system_does_not_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcpinfo, "_IS_FILLED", False)
    with tcp_pair() as (near, _):
        assert last_data_received_ms(near) is None


def test_what_the_peer_does_not_take_is_undelivered() -> None:
    with tcp_pair() as (near, far):
        assert undelivered(near) == 0
        sent = fill(near)
        assert 0 < undelivered(near) <= sent
        taken = bytearray()

        def is_delivered() -> bool:
            taken.extend(drain(far))
            return undelivered(near) == 0

        wait_until(is_delivered, "the peer has taken it all")
        assert len(taken) <= sent
    assert undelivered(near) == 0


@fills_it
def test_time_since_the_peer_acknowledged() -> None:
    with tcp_pair() as (near, far):
        assert_counts_from(partial(near.send, b"a"), partial(acknowledged_ms, near))
        assert far.recv(1) == b"a"
