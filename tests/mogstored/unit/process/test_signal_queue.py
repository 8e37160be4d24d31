"""Callbacks for the main thread; the system tests cover the signals."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import threading
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from mogstored.log.bounded_writer import FlushResult
from mogstored.process.signals import SignalQueue
from tests.support.threads import join
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    """A queue in this process, whose handlers are restored."""
    # As a master does while it forks.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGUSR1))
    handlers = [(number, signal.getsignal(number)) for number in _TOUCHED]
    queue = SignalQueue()
    yield queue
    queue.abandon()
    for number, handler in handlers:
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_signal_ends_the_wait(queue: SignalQueue) -> None:
    signal.raise_signal(signal.SIGHUP)
    assert queue.wait(PATIENCE_S) == [signal.SIGHUP]


def test_signals_keep_their_order(queue: SignalQueue) -> None:
    for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGUSR1):
        signal.raise_signal(number)
    assert queue.wait(PATIENCE_S) == [signal.SIGUSR2, signal.SIGTERM, signal.SIGUSR1]


def test_callback_runs_in_the_waiting_thread(queue: SignalQueue) -> None:
    ran_in: list[threading.Thread] = []
    helper = threading.Thread(
        target=queue.call, args=(lambda: ran_in.append(threading.current_thread()),)
    )
    helper.start()
    assert queue.wait(PATIENCE_S) == []
    helper.join()
    assert ran_in == [threading.current_thread()]


def test_callback_that_fails_does_not_lose_others_or_signals(
    queue: SignalQueue, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    def fail() -> None:
        raise RuntimeError("can't start new thread")

    queue.call(fail)
    queue.call(lambda: ran.append("second"))
    signal.raise_signal(signal.SIGTERM)
    assert queue.wait(PATIENCE_S) == [signal.SIGTERM]
    assert ran == ["second"]


def test_signal_is_not_lost_among_callbacks(queue: SignalQueue) -> None:
    ran: list[None] = []
    for _ in range(5000):
        queue.call(lambda: ran.append(None))
    signal.raise_signal(signal.SIGTERM)
    assert queue.wait(PATIENCE_S) == [signal.SIGTERM]
    assert len(ran) == 5000
    queue.call(lambda: ran.append(None))
    assert queue.wait(PATIENCE_S) == []
    assert len(ran) == 5001


def test_wake_up_that_failed_is_tried_again(
    queue: SignalQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    monkeypatch.setattr(os, "write", Mock(side_effect=OSError(errno.ENOBUFS, "no memory")))
    with pytest.raises(OSError, match="no memory"):
        queue.call(lambda: ran.append(1))
    monkeypatch.undo()
    queue.call(lambda: ran.append(2))
    assert select.select([queue], [], [], 0)[0]
    queue.wait(PATIENCE_S)
    assert ran == [1, 2]


def test_injected_signal_looks_like_a_real_one(queue: SignalQueue) -> None:
    queue.inject(signal.SIGTERM)
    assert queue.wait(PATIENCE_S) == [signal.SIGTERM]


def test_wait_ends_by_itself_and_by_another_descriptor(queue: SignalQueue) -> None:
    assert queue.wait(0.0) == []
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.send(b"x")
        assert queue.wait(10.0, reader.fileno()) == []


def test_handlers_are_taken_away_while_their_signals_are_blocked(
    queue: SignalQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a signal in between raises where nothing catches it, and is logged."""
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


@pytest.mark.parametrize("timeout_s", [1e7, 1e13, float("inf")])
def test_wait_longer_than_poll_can_take(queue: SignalQueue, timeout_s: float) -> None:
    signal.raise_signal(signal.SIGHUP)
    assert queue.wait(timeout_s) == [signal.SIGHUP]


class _Kept:
    """A writer whose reader accepts the third attempt."""

    def __init__(self) -> None:
        self.offers = 0
        self.on_pending: Callable[[], None] = lambda: None

    def flush(self) -> FlushResult:
        self.offers += 1
        return FlushResult.FULL if self.offers < 3 else FlushResult.DONE


def test_what_another_thread_could_not_send_is_offered_until_it_is_taken(
    queue: SignalQueue,
) -> None:
    kept = _Kept()
    queue.flusher.add(kept)
    helper = threading.Thread(target=kept.on_pending)
    helper.start()
    while queue.flusher.interval_s is not None or kept.offers < 3:
        queue.wait(PATIENCE_S)
    join(helper)
    assert kept.offers == 3


def test_writer_that_raises_does_not_end_the_wait(
    queue: SignalQueue, caplog: pytest.LogCaptureFixture
) -> None:
    kept = _Kept()
    kept.flush = Mock(side_effect=MemoryError)  # type: ignore[method-assign]
    queue.flusher.add(kept)
    queue.inject(signal.SIGTERM)
    assert queue.wait(PATIENCE_S) == [signal.SIGTERM]
