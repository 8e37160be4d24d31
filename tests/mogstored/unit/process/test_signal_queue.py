"""Errands for the main thread; signals themselves are seen in the system tests."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mogstored.process.signals import SignalQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOUCHED = [
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGHUP,
    signal.SIGWINCH,
    signal.SIGCHLD,
    signal.SIGPIPE,
]


@pytest.fixture
def queue() -> Iterator[SignalQueue]:
    """A queue in this process, which gets its own handlers back."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handlers = [(number, signal.getsignal(number)) for number in _TOUCHED]
    queue = SignalQueue()
    yield queue
    queue.abandon()
    for number, handler in handlers:
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_signal_ends_the_wait(queue: SignalQueue) -> None:
    signal.raise_signal(signal.SIGHUP)
    assert queue.wait(10.0) == [signal.SIGHUP]


def test_signals_keep_their_order(queue: SignalQueue) -> None:
    for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGUSR1):
        signal.raise_signal(number)
    assert queue.wait(10.0) == [signal.SIGUSR2, signal.SIGTERM, signal.SIGUSR1]


def test_errand_is_run_by_who_waits(queue: SignalQueue) -> None:
    ran_in: list[threading.Thread] = []
    helper = threading.Thread(
        target=queue.call, args=(lambda: ran_in.append(threading.current_thread()),)
    )
    helper.start()
    assert queue.wait(10.0) == []
    helper.join()
    assert ran_in == [threading.current_thread()]


def test_pretended_signal_looks_like_one(queue: SignalQueue) -> None:
    queue.pretend(signal.SIGTERM)
    assert queue.wait(10.0) == [signal.SIGTERM]


def test_wait_ends_by_itself_and_by_another_descriptor(queue: SignalQueue) -> None:
    assert queue.wait(0.0) == []
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.send(b"x")
        assert queue.wait(10.0, reader.fileno()) == []


def test_handlers_are_taken_away_while_their_signals_are_blocked(
    queue: SignalQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that comes meanwhile is told to the log, as an error that nobody can catch."""
    blocked: dict[int, bool] = {}
    take_away = signal.signal

    def look(number: int, handler: signal.Handlers) -> None:
        blocked[number] = number in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        take_away(number, handler)

    monkeypatch.setattr(signal, "signal", look)
    queue.ignore()
    monkeypatch.undo()
    assert blocked == dict.fromkeys(set(_TOUCHED) - {signal.SIGPIPE}, True)
    assert {signal.getsignal(number) for number in _TOUCHED} == {signal.SIG_IGN}
