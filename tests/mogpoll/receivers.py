"""Threads that receive from one queue, and the check that each event has one owner."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mogpoll import BouncingWaker
from tests.mogpoll.checks import READ
from tests.support.threads import Running, run_all, wait_until_asleep
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mogpoll import Event, Poller

THREADS = 8
# Fewer on a queue that is played in Python (test_profiles_conform).
EVENTS = int(os.environ.get("MOG_TEST_EVENTS") or 10_000)


class Owners:
    """The owners of descriptors; taking an owned one is a failure."""

    def __init__(self) -> None:
        self._owners: dict[int, object] = {}
        self.taken = Counter[int]()

    def take(self, fd: int) -> None:
        claim = object()
        assert self._owners.setdefault(fd, claim) is claim, f"{fd} has two owners"
        self.taken[fd] += 1

    def release(self, fd: int) -> None:
        del self._owners[fd]


class Receivers:
    """Threads that receive events and pass each to `play`, until `finish` is called."""

    def __init__(self, poller: Poller, play: Callable[[Event], None]) -> None:
        self._poller, self._play = poller, play
        self._waker = BouncingWaker()
        self._waker_fd = self._waker.attach(poller)
        self._failed = False

    def finish(self) -> None:
        self._waker.wake()

    def receive(self) -> None:
        try:
            while (event := self._poller.wait()) and event.fd != self._waker_fd:
                self._play(event)
        except BaseException:
            self.finish()
            raise
        self._waker.receive(self._poller)

    def run(self, *others: Callable[[], None], threads: int = THREADS) -> None:
        run_all([*[self.receive] * threads, *others])
        self._poller.forget(self._waker_fd)
        self._waker.close()


def wake_sleepers(poller: Poller, count: int, act: Callable[[], None]) -> list[int]:
    """Let `count` threads fall asleep, then act; return the descriptors they received.

    After the first event a waker wakes the others; its descriptor is left out.
    """
    waker = BouncingWaker()
    waker_fd = waker.attach(poller)

    def wait() -> int:
        event = poller.wait()
        assert event is not None
        if event.fd == waker_fd:
            waker.receive(poller)
        return event.fd

    sleepers = [Running(wait) for _ in range(count)]
    wait_until_asleep(sleepers)
    act()
    wait_until(lambda: any(one.is_over() for one in sleepers), "a sleeper has the event")
    waker.wake()
    found = [sleeper.result() for sleeper in sleepers]
    poller.forget(waker_fd)
    waker.close()
    return [fd for fd in found if fd != waker_fd]


class PausableReceivers(Receivers):
    """Receivers that can be paused; the events received until then are known exactly.

    An event may be between the kernel and the caller of `wait` for any length of time, and
    `forget` cannot recall it. So one gate a thread is armed, and a thread that receives a gate
    stops there: once all are received, no thread is in `wait`, and no event is on its way.
    """

    def __init__(self, poller: Poller, play: Callable[[Event], None] = lambda _: None) -> None:
        super().__init__(poller, self._note)
        self._react = play
        self._events: list[Event] = []
        self._reported = 0
        self._gates = [socket.socketpair() for _ in range(THREADS)]
        for _, far in self._gates:
            far.send(b"a")
        self._gate_fds = [near.fileno() for near, _ in self._gates]
        self._arm_gate = poller.add
        self._at_gates, self._go = threading.Semaphore(0), threading.Semaphore(0)

    def _note(self, event: Event) -> None:
        if event.fd in self._gate_fds:
            self._at_gates.release()
            assert self._go.acquire(timeout=25)
        else:
            self._events.append(event)
            self._react(event)

    @contextmanager
    def paused(self) -> Iterator[dict[int, list[Event]]]:
        """Keep all threads out of `wait`; yield the events since the last pause, by descriptor."""
        for fd in self._gate_fds:
            self._arm_gate(fd, READ)
        self._arm_gate = self._poller.rearm
        try:
            for _ in self._gate_fds:
                assert self._at_gates.acquire(timeout=25), "a gate was not reported"
            self._reported += len(self._events)
            yield self._collect()
        finally:
            self._go.release(THREADS)

    def _collect(self) -> dict[int, list[Event]]:
        events, self._events = self._events, []
        # The gates may have overtaken other events.
        while event := self._poller.wait(0):
            assert event.fd not in self._gate_fds, "a gate was reported twice"
            events.append(event)
            assert len(events) < EVENTS, "there is no end of events"
            self._react(event)
        by_fd: dict[int, list[Event]] = {}
        for event in events:
            by_fd.setdefault(event.fd, []).append(event)
        return by_fd

    def play_rounds(self, play_round: Callable[[int], None]) -> None:
        """Play rounds, each with a pause, until the threads have received `EVENTS` events."""

        def lead() -> None:
            try:
                for number in itertools.count():
                    if self._reported >= EVENTS:
                        return
                    play_round(number)
            finally:
                self.finish()

        self.run(lead)
        for fd in self._gate_fds:
            self._poller.forget(fd)
        for end in itertools.chain(*self._gates):
            end.close()
