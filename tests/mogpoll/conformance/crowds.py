"""Crowds of threads on one queue, and the rule that they must keep: one owner at a time."""

from __future__ import annotations

import itertools
import socket
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mogpoll import BouncingWaker
from tests.mogpoll.conformance.looks import READ
from tests.support.threads import Running, run_all, wait_until_asleep
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mogpoll import Event, Poller

THREADS = 8
EVENTS = 10_000


class Owners:
    """Who owns which descriptor now; taking what somebody has is a failure."""

    def __init__(self) -> None:
        self._owners: dict[int, object] = {}
        self.taken = Counter[int]()

    def take(self, fd: int) -> None:
        claim = object()
        assert self._owners.setdefault(fd, claim) is claim, f"{fd} has two owners"
        self.taken[fd] += 1

    def release(self, fd: int) -> None:
        del self._owners[fd]


class Crowd:
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
    """Let so many threads fall asleep, then act; return the descriptors that were told.

    Once somebody was told, the others are woken by a waker, whose descriptor is left out.
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
    wait_until(lambda: any(one.is_over() for one in sleepers), "somebody has the event")
    waker.wake()
    found = [sleeper.result() for sleeper in sleepers]
    poller.forget(waker_fd)
    waker.close()
    return [fd for fd in found if fd != waker_fd]


class HaltingCrowd(Crowd):
    """A crowd that can be halted: what it was told until then is known exactly.

    An event that a thread has from the kernel may be on its way to the caller of `wait` for
    any length of time, and `forget` cannot call it back. As many gates are therefore armed as
    there are threads, and who is told of one stays there: once all are taken, no thread is in
    `wait`, and nothing is on its way.
    """

    def __init__(self, poller: Poller, play: Callable[[Event], None] = lambda _: None) -> None:
        super().__init__(poller, self._note)
        self._react = play
        self._events: list[Event] = []
        self._told = 0
        self._gates = [socket.socketpair() for _ in range(THREADS)]
        for _, far in self._gates:
            far.send(b"a")
        self._gate_fds = [near.fileno() for near, _ in self._gates]
        self._arm_gate = poller.add
        self._halted, self._go = threading.Semaphore(0), threading.Semaphore(0)

    def _note(self, event: Event) -> None:
        if event.fd in self._gate_fds:
            self._halted.release()
            assert self._go.acquire(timeout=25)
        else:
            self._events.append(event)
            self._react(event)

    @contextmanager
    def halted(self) -> Iterator[dict[int, list[Event]]]:
        """Keep all threads from waiting; give what was told since the last time, by number."""
        for fd in self._gate_fds:
            self._arm_gate(fd, READ)
        self._arm_gate = self._poller.rearm
        try:
            for _ in self._gate_fds:
                assert self._halted.acquire(timeout=25), "a gate was not told of, or not handed on"
            self._told += len(self._events)
            yield self._collect()
        finally:
            self._go.release(THREADS)

    def _collect(self) -> dict[int, list[Event]]:
        events, self._events = self._events, []
        # The gates may have overtaken others.
        while event := self._poller.wait(0):
            assert event.fd not in self._gate_fds, "a gate was told of twice"
            events.append(event)
            assert len(events) < EVENTS, "there is no end of events"
            self._react(event)
        by_fd: dict[int, list[Event]] = {}
        for event in events:
            by_fd.setdefault(event.fd, []).append(event)
        return by_fd

    def play_rounds(self, play_round: Callable[[int], None]) -> None:
        """Play rounds, each of which halts the crowd, until the threads had all the events."""

        def lead() -> None:
            try:
                for number in itertools.count():
                    if self._told >= EVENTS:
                        return
                    play_round(number)
            finally:
                self.finish()

        self.run(lead)
        for fd in self._gate_fds:
            self._poller.forget(fd)
        for end in itertools.chain(*self._gates):
            end.close()
