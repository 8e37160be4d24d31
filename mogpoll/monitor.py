"""Watch a queue from outside, and see what its workers do while nobody takes an event.

The queue's own descriptor is readable while an event is in it. The monitor sleeps until then,
looks again a few milliseconds later, and asks `mogpoll.elastic` whether what it saw in between
calls for more workers or for fewer. While events are taken as they come, it looks on; while
there are none, it sleeps. The workers pay for it with two attributes that they set.

They pay for its being awake, too: each time it runs, one of them waits for the interpreter lock.
On a machine with other work to do, a look each 4 ms made a small PUT some 13 % dearer, and a
request waited in the kernel 0.13 times instead of 0.01; no call in particular is to blame. So the
looks become fewer, down to one in 16 ms (0.05 times), while they find nothing to change, and do
not ask the kernel what they need not know.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mogpoll.elastic import Elastic, Look
from mogpoll.stopping import signals_blocked
from mogpoll.threadstate import wants_processor

# How often the monitor looks: when it has just changed something, and when it has not for long.
_SHORTEST_INTERVAL_S = 0.004
_LONGEST_INTERVAL_S = 0.016
# To ask for one thread's state costs some 10 us. If that many wait for a disk, so do the others.
_ASKED_FOR_STATE = 16


class Watched(Protocol):
    """A running worker: whether it waits for an event, and how many steps it has done.

    **Threads:** written by the worker alone and read here, each at any time. What is read
    together need not belong together; a wrong guess is made good by the next look.
    """

    waiting: bool
    steps: int

    @property
    def native_id(self) -> int: ...


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
        interval_s = _SHORTEST_INTERVAL_S
        somebody_waits = True
        while not self._over.is_set():
            if somebody_waits:
                self._queue.poll()
            look = self._look(interval_s)
            if look is None:
                return
            change = self._elastic.decide(look)
            if change:
                interval_s = _SHORTEST_INTERVAL_S
            else:
                interval_s = min(2 * interval_s, _LONGEST_INTERVAL_S)
            somebody_waits = look.waiting > 0
            self._adapt(change)

    def _look(self, interval_s: float) -> Look | None:
        """Return what the workers did during the interval; None when it is over."""
        running = self._running()
        seen = [worker.steps for worker in running]
        began, cpu_began = time.monotonic(), time.process_time()
        if self._over.wait(interval_s):
            return None
        steps = [
            worker.steps - before
            for worker, before in zip(running, seen, strict=True)
            if not worker.waiting
        ]
        waiting = len(running) - len(steps)
        backlog = not waiting and bool(self._queue.poll(0))
        return Look(
            waiting=waiting,
            busy=len(steps) - steps.count(0),
            stuck=steps.count(0),
            steps=sum(steps),
            backlog=backlog,
            interval_s=time.monotonic() - began,
            cpu_s=time.process_time() - cpu_began,
            ready=backlog and _one_wants_processor(running),
        )


def _one_wants_processor(workers: Sequence[Watched]) -> bool:
    # The last to be started are the least likely to be stuck.
    return any(wants_processor(worker.native_id) for worker in workers[-_ASKED_FOR_STATE:])
