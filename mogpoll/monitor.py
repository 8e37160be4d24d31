"""Watch a queue from outside, and see what its workers do while nobody takes an event.

The queue's own descriptor is readable while an event is in it. The monitor sleeps until then,
looks again a few milliseconds later, and asks `mogpoll.elastic` whether what it saw in between
calls for more workers or for fewer. While events are taken as they come, it looks on; while
there are none, it sleeps. The workers pay for it with two attributes that they set.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mogpoll.elastic import Elastic, Look
from mogpoll.stopping import signals_blocked

# How often the monitor looks while events are queued and nobody takes them.
_LOOK_INTERVAL_S = 0.004


class Watched(Protocol):
    """A running worker: whether it waits for an event, and how many steps it has done.

    **Threads:** written by the worker alone and read here, each at any time. What is read
    together need not belong together; a wrong guess is made good by the next look.
    """

    waiting: bool
    steps: int


class Monitor(threading.Thread):
    """A thread that calls `adapt` with how many more workers should run, or fewer.

    **Threads:** `running` and `adapt` are called in this thread. `end` is called from any
    other; the queue has to become readable as well, or the monitor sleeps on.
    """

    def __init__(
        self,
        queue_fd: int,
        spare: int,
        running: Callable[[], Sequence[Watched]],
        adapt: Callable[[int], None],
        name: str,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._elastic = Elastic(spare)
        self._running, self._adapt = running, adapt
        self._queue = select.poll()
        self._queue.register(queue_fd, select.POLLIN)
        self._over = threading.Event()

    def start(self) -> None:
        with signals_blocked():
            super().start()

    def end(self) -> None:
        """Let the thread end, now or when the queue becomes readable."""
        self._over.set()

    def run(self) -> None:
        while not self._over.is_set():
            self._queue.poll()
            look = self._look()
            if look is not None:
                self._adapt(self._elastic.decide(look))

    def _look(self) -> Look | None:
        """Return what the workers did meanwhile; None when it is over."""
        running = self._running()
        seen = [worker.steps for worker in running]
        began, cpu_began = time.monotonic(), time.process_time()
        if self._over.wait(_LOOK_INTERVAL_S):
            return None
        steps = [
            worker.steps - before
            for worker, before in zip(running, seen, strict=True)
            if not worker.waiting
        ]
        return Look(
            waiting=len(running) - len(steps),
            busy=len(steps) - steps.count(0),
            stuck=steps.count(0),
            steps=sum(steps),
            backlog=bool(self._queue.poll(0)),
            interval_s=time.monotonic() - began,
            cpu_s=time.process_time() - cpu_began,
        )
