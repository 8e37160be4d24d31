"""An acceptor that ends accepts the backlog first, if no other process would."""

from __future__ import annotations

import errno
import socket
import threading

import pytest

from mogpoll import Acceptor, acceptor, stopping
from tests.mogpoll.threads.acceptors import (
    ScriptedAccept,
    Sink,
    connect,
    stop,
    wait_until_accepting,
)
from tests.support.threads import Running
from tests.support.waiting import wait_until


class Busy:
    """A callback that is busy with the first connection until it may go on."""

    def __init__(self) -> None:
        self.names: list[object] = []
        self.entered, self.go_on = threading.Event(), threading.Event()

    def take(self, connection: socket.socket, address: object) -> None:
        with connection:
            self.names.append(address)
        self.entered.set()
        assert self.go_on.wait(20)


@pytest.mark.parametrize(("last_call", "taken"), [(0, 1), (2, 3), (3, 4), (100, 4)])
def test_last_call_accepts_a_limited_number(
    listener: socket.socket, last_call: int, taken: int
) -> None:
    busy = Busy()
    made = Acceptor(listener, busy.take)
    made.start()
    clients = [connect(listener)]
    assert busy.entered.wait(10)
    clients += [connect(listener) for _ in range(3)]
    stopper = Running(lambda: made.stop(last_call=last_call))
    wait_until(lambda: not made._running, "it is stopping")
    busy.go_on.set()
    stopper.result()
    expected = [client.getsockname() for client in clients[:taken]]
    for client in clients:
        client.close()
    assert busy.names == expected


def test_last_call_for_one_whom_a_sibling_takes(
    listener: socket.socket, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is in the backlog, but gone when accept is called, which then blocks."""
    script = ScriptedAccept(monkeypatch, [])
    left: list[socket.socket] = []

    def sibling_first(fd: int, peer: acceptor._Peer) -> int:
        if not made._running and not left:
            left.append(listener.accept()[0])
        return script(fd, peer)

    monkeypatch.setattr(acceptor, "_accept4", sibling_first)
    stopping.install_poke_handler()
    made = Acceptor(listener, sink.take)
    with connect(listener):
        # As if stopped before it accepted anything.
        monkeypatch.setattr(made, "_run", lambda: made._take_backlog(listener.fileno()))
        made._last_call = 5
        made._thread = stopping.PokableThread(made._run, "acceptor-under-test")
        made._thread.start()
        wait_until_accepting()
        stop(made)
    left[0].close()
    assert sink.sockets == []
    assert script.outcomes == [errno.EINTR]


def test_last_call_ends_where_nothing_can_be_accepted_into(
    listener: socket.socket, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ScriptedAccept(monkeypatch, [errno.ECONNABORTED, errno.EMFILE])
    made = Acceptor(listener, sink.take)
    made._last_call = 5
    with connect(listener), connect(listener):
        made._take_backlog(listener.fileno())
    assert script.outcomes == [errno.ECONNABORTED, errno.EMFILE]
    assert sink.sockets == []
