"""The length of a wait, what ends it, and the queue's descriptor."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll.checks import READ, WRITE, is_readable, received
from tests.support.sockets import stream_pair
from tests.support.threads import Running, may_be_asleep, wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mogpoll import Event, Poller
    from tests.mogpoll.checks import Pair


@pytest.mark.parametrize("timeout_s", [0, 0.0])
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


@pytest.mark.parametrize("timeout_s", [None, -1, -0.001, 20.0])
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


class Interrupter:
    """Sends signals to the thread that created it, each while that thread sleeps in the kernel.

    One at a time: otherwise a thread that gets the processor back would run several handlers
    nested. Without /proc, some signals may come between two sleeps.
    """

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        """Each signal's handler calls `act` in the interrupted thread."""
        self.handled = 0
        self.over = threading.Event()
        self._act = act
        self._answers: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._target = threading.current_thread()

    def handle(self, *_: object) -> None:
        self._act()
        self.handled += 1
        # Nothing here may need a lock that the interrupted thread could hold.
        self._answers.put(None)

    def interrupt(self, times: int) -> None:
        """Interrupt the sleeper `count` times, from another thread."""
        for _ in range(times):
            while not may_be_asleep(self._target):
                if self.over.wait(0.0005):
                    return
            if self.over.is_set():
                return
            signal.pthread_kill(self._target.ident or 0, signal.SIGUSR1)
            self._answers.get(timeout=20)


@contextlib.contextmanager
def interruptions(
    interrupter: Interrupter, plan: Callable[[Interrupter], None]
) -> Iterator[Interrupter]:
    """Run the plan in another thread meanwhile."""
    previous = signal.signal(signal.SIGUSR1, interrupter.handle)
    following = Running(lambda: plan(interrupter))
    try:
        yield interrupter
    finally:
        interrupter.over.set()
        following.result()
        signal.signal(signal.SIGUSR1, previous)


def test_n13_signals_do_not_end_a_wait(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), READ)

    def plan(interrupter: Interrupter) -> None:
        interrupter.interrupt(10)
        pair[1].send(b"a")

    with interruptions(Interrupter(), plan) as interrupter:
        event = poller.wait(20)
    assert event is not None
    assert (event.fd, interrupter.handled) == (pair[0].fileno(), 10)


def test_n13_signals_do_not_make_a_wait_longer_or_shorter(poller: Poller) -> None:
    def plan(interrupter: Interrupter) -> None:
        # A limited number: a wait restarted by each signal would never end.
        deadline = time.monotonic() + 20
        while not interrupter.over.is_set() and time.monotonic() < deadline:
            interrupter.interrupt(1)

    # On a busy machine the first signal may be late; the last of these waits is long enough.
    for timeout_s in (0.05, 0.5, 5):
        with interruptions(Interrupter(), plan) as interrupter:
            started = time.monotonic()
            assert poller.wait(timeout_s) is None
            elapsed, handled = time.monotonic() - started, interrupter.handled
        assert timeout_s <= elapsed < 20
        if handled:
            return
    pytest.fail("no signal was handled during a wait")


def test_n13_signals_do_not_end_a_wait_after_rearm(poller: Poller, pair: Pair) -> None:
    fd, rounds, signals = pair[0].fileno(), 20, 10
    round_over = threading.Semaphore(0)

    def plan(interrupter: Interrupter) -> None:
        for _ in range(rounds):
            interrupter.interrupt(signals)
            pair[1].send(b"a")
            assert interrupter.over.is_set() or round_over.acquire(timeout=20)

    poller.add(fd, WRITE)
    poller.wait()
    with interruptions(Interrupter(), plan) as interrupter:
        for number in range(1, rounds + 1):
            poller.rearm(fd, READ)
            event = poller.wait(20)
            assert event is not None
            assert (event.fd, interrupter.handled) == (fd, number * signals)
            pair[0].recv(1)
            round_over.release()
    assert received(poller) == []


def test_n13_rearm_and_wait_under_signals_arm_once(poller: Poller, pair: Pair) -> None:
    """When an interrupted call returns, another thread may already have the event.

    Arming again would make two owners, since the data is still unread.
    """
    fd = pair[0].fileno()
    taken: list[Event | None] = []
    poller.add(fd, WRITE)
    poller.wait()

    def overtake() -> None:
        pair[1].send(b"a")
        taken.append(Running(lambda: poller.wait(20)).result())

    with stream_pair() as (other, far):
        poller.add(other.fileno(), READ)

        def plan(interrupter: Interrupter) -> None:
            interrupter.interrupt(1)
            far.send(b"a")

        with interruptions(Interrupter(overtake), plan):
            poller.rearm(fd, READ)
            event = poller.wait(20)
        assert [found and found.fd for found in (*taken, event)] == [fd, other.fileno()]
        assert received(poller) == []


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
    assert received(poller) == [pair[0].fileno()]


def test_n18_queue_is_not_inherited_by_exec(poller: Poller) -> None:
    assert not os.get_inheritable(poller.fileno())
