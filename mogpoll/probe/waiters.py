"""Threads and processes that block, and the order in which they are served."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mogpoll.probe.sleeping import settle

# Long for what happens here, short beside an experiment's time limit.
PATIENCE_S = 3.0
_ALARM_S = 60


class Waiter(threading.Thread):
    """A thread in a call that may never return; then `result` or `error` is set."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: object = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:
            self.error = error

    def settle(self) -> Waiter:
        """Wait until the thread sleeps in its call."""
        settle(self.native_id)
        return self

    def returned(self, within_s: float = PATIENCE_S) -> bool:
        self.join(within_s)
        return not self.is_alive()


def order_of_service(
    wait_one: Callable[[], object],
    make_ready: Callable[[int], None],
    *,
    waiters: int = 4,
    events: int = 12,
) -> list[int]:
    """Start waiting threads in turn, make events ready one by one; return the takers' numbers."""
    taken: queue.SimpleQueue[int] = queue.SimpleQueue()

    def wait_as(number: int) -> Callable[[], None]:
        def wait() -> None:
            while True:
                wait_one()
                taken.put(number)

        return wait

    threads = [Waiter(wait_as(number)).settle() for number in range(waiters)]
    order = []
    for event in range(events):
        make_ready(event)
        order.append(taken.get(timeout=PATIENCE_S))
        threads[order[-1]].settle()
    return order


def name_of_order(order: Sequence[int], waiters: int) -> str:
    """Name the order in which waiters 0, 1, ... were served, each waiting again afterwards."""
    if list(order) == [waiters - 1] * len(order):
        return "last in, first out"
    if list(order) == [turn % waiters for turn in range(len(order))]:
        return "first in, first out"
    return "in no order"


def name_of_spread(counts: Sequence[int]) -> str:
    """Name the distribution of `counts`; `figures` shows them."""
    mean = sum(counts) / len(counts)
    if not mean:
        return "nobody gets any"
    if max(counts) <= 1.05 * mean:
        return "even"
    if max(counts) == sum(counts):
        return "one gets all"
    return "uneven"


def figures(taken: Sequence[int], takers: int) -> str:
    counts = Counter(taken)
    return " ".join(str(counts[number]) for number in range(takers))


@contextmanager
def processes(count: int, main: Callable[[int], object]) -> Iterator[list[int]]:
    """Run `main(number)` in forked children, and kill them at the end."""
    pids = []
    try:
        for number in range(count):
            pid = os.fork()
            if pid == 0:
                try:
                    signal.alarm(_ALARM_S)
                    main(number)
                finally:
                    os._exit(0)
            pids.append(pid)
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def in_child(ask: Callable[[], str]) -> str:
    """Return the result of `ask` in a forked child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, ask().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    return answer or "the child died"
