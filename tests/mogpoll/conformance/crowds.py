"""Crowds of threads on one queue, and the rule that they must keep: one owner at a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mogpoll import BouncingWaker
from tests.support.threads import run_all

if TYPE_CHECKING:
    from collections.abc import Callable

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
