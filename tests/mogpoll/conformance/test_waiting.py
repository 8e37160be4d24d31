"""How long a wait lasts, what ends it and what does not; exchange; the queue's descriptor."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from mogpoll import NotRegistered
from tests.mogpoll.conformance.looks import READ, WRITE, is_readable, told
from tests.support.sockets import stream_pair
from tests.support.threads import Running, wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogpoll import Poller
    from tests.mogpoll.conformance.looks import Pair


@pytest.mark.parametrize("timeout_s", [0, 0.0, -1, -0.001])
def test_wait_without_time_only_looks(poller: Poller, pair: Pair, timeout_s: float) -> None:
    poller.add(pair[0].fileno(), READ)
    empty = poller.wait(timeout_s)
    pair[1].send(b"a")
    event = poller.wait(timeout_s)
    assert event is not None
    assert (empty, event.fd) == (None, pair[0].fileno())


@pytest.mark.parametrize("timeout_s", [0.0004, 0.0025, 0.05])
def test_empty_wait_lasts_as_long_as_asked(poller: Poller, timeout_s: float) -> None:
    started = time.monotonic()
    assert poller.wait(timeout_s) is None
    assert time.monotonic() - started >= timeout_s


@pytest.mark.parametrize("timeout_s", [None, 20.0])
def test_sleeping_wait_ends_when_data_arrives(
    poller: Poller, pair: Pair, timeout_s: float | None
) -> None:
    poller.add(pair[0].fileno(), READ)
    waiter = Running(lambda: poller.wait(timeout_s))
    wait_until_asleep([waiter])
    pair[1].send(b"a")
    event = waiter.result()
    assert event is not None
    assert event.fd == pair[0].fileno()


@pytest.mark.parametrize("call", ["add", "rearm"])
def test_sleeping_wait_hears_of_what_another_thread_arms(
    poller: Poller, pair: Pair, call: str
) -> None:
    fd = pair[0].fileno()
    if call == "rearm":
        poller.add(fd, WRITE)
        poller.wait()
    waiter = Running(poller.wait)
    wait_until_asleep([waiter])
    getattr(poller, call)(fd, WRITE)
    event = waiter.result()
    assert event is not None
    assert event.fd == fd


@contextlib.contextmanager
def interruptions() -> Iterator[threading.Semaphore]:
    """Signal this thread until the end, counting the signals that were handled.

    One at a time: a thread that has just got the processor back would find many, and handle each
    in the middle of the one before. A semaphore could not be released in the middle of that.
    """
    handled, over = threading.Semaphore(0), threading.Event()
    answers: queue.SimpleQueue[None] = queue.SimpleQueue()
    previous = signal.signal(signal.SIGUSR1, lambda *_: answers.put(None))
    target = threading.get_ident()

    def interrupt() -> None:
        while not over.wait(0.001):
            signal.pthread_kill(target, signal.SIGUSR1)
            answers.get()
            handled.release()

    interrupter = Running(interrupt)
    try:
        yield handled
    finally:
        over.set()
        interrupter.result()
        signal.signal(signal.SIGUSR1, previous)


def test_n13_signals_do_not_end_a_wait(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), READ)
    with interruptions() as handled:

        def send_after_ten() -> None:
            for _ in range(10):
                assert handled.acquire(timeout=20)
            pair[1].send(b"a")

        sender = Running(send_after_ten)
        event = poller.wait(20)
        sender.result()
    assert event is not None
    assert event.fd == pair[0].fileno()


def test_n13_signals_do_not_make_a_wait_longer_or_shorter(poller: Poller) -> None:
    with interruptions():
        started = time.monotonic()
        assert poller.wait(0.05) is None
        elapsed = time.monotonic() - started
    assert 0.05 <= elapsed < 20


def test_n13_exchange_under_signals_arms_once(poller: Poller, pair: Pair) -> None:
    fd = pair[0].fileno()
    poller.add(fd, WRITE)
    poller.wait()
    with interruptions():
        found = [poller.exchange(fd, WRITE, 20) for _ in range(200)]
        silent = poller.wait(0.01)
    assert {event.fd for event in found if event} == {fd}
    assert None not in found
    assert silent is None


def test_exchange_rearms_and_returns_the_next_event(poller: Poller, pair: Pair) -> None:
    fd = pair[0].fileno()
    poller.add(fd, WRITE)
    poller.wait()
    event = poller.exchange(fd, WRITE)
    assert event is not None
    assert (event.fd, told(poller)) == (fd, [])


def test_exchange_may_return_the_event_of_another(poller: Poller, pair: Pair) -> None:
    with stream_pair() as (other, far):
        poller.add(pair[0].fileno(), WRITE)
        poller.wait()
        poller.add(other.fileno(), READ)
        far.send(b"a")
        event = poller.exchange(pair[0].fileno(), READ)
        assert event is not None
        assert event.fd == other.fileno()
        pair[1].send(b"a")
        assert told(poller) == [pair[0].fileno()]


def test_exchange_returns_none_when_its_time_is_over(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), READ)
    assert poller.exchange(pair[0].fileno(), READ, 0.01) is None
    pair[1].send(b"a")
    assert told(poller) == [pair[0].fileno()]


def test_exchange_of_the_unknown_takes_no_event(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), WRITE)
    with pytest.raises(NotRegistered):
        poller.exchange(pair[1].fileno(), READ, 0)
    assert told(poller) == [pair[0].fileno()]


# The queue's own descriptor


def test_queue_is_readable_exactly_while_an_event_is_queued(poller: Poller, pair: Pair) -> None:
    queue, fd = poller.fileno(), pair[0].fileno()
    seen = [is_readable(queue)]
    poller.add(fd, READ)
    seen.append(is_readable(queue))
    pair[1].send(b"a")
    seen.append(is_readable(queue))
    seen.append(is_readable(queue))
    poller.wait()
    seen.append(is_readable(queue))
    poller.rearm(fd, READ)
    seen.append(is_readable(queue))
    poller.forget(fd)
    seen.append(is_readable(queue))
    assert seen == [False, False, True, True, False, True, False]


def test_queue_is_readable_until_the_last_event_is_received(poller: Poller) -> None:
    with stream_pair() as both:
        for end in both:
            poller.add(end.fileno(), WRITE)
        seen = [is_readable(poller.fileno())]
        for _ in both:
            poller.wait()
            seen.append(is_readable(poller.fileno()))
    assert seen == [True, True, False]


def test_queue_wakes_who_polls_its_descriptor(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), READ)
    monitor = Running(lambda: is_readable(poller.fileno(), 20_000))
    wait_until_asleep([monitor])
    pair[1].send(b"a")
    assert monitor.result()


def test_polling_the_descriptor_takes_no_event(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), WRITE)
    for _ in range(3):
        is_readable(poller.fileno())
    assert told(poller) == [pair[0].fileno()]


def test_n18_queue_is_not_inherited_by_exec(poller: Poller) -> None:
    assert not os.get_inheritable(poller.fileno())
