"""Tasks for a worker pool that watch over their own ownership, and pools to step them."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from mogpoll import Interest, Next, WorkerPool
from tests.support.sockets import drain
from tests.support.threads import Running
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import Poller

LIMIT_S = 20.0 * PATIENCE


class Errand:
    """A task on one end of a socket pair; `act` is its step.

    A second thread in it, or a step after its end, is noted in `faults`: the pool would only
    log an exception.
    """

    def __init__(self, act: Callable[[Errand], Next] | None = None) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.act = act
        self.steps = 0
        self.closes = 0
        self.faults: list[str] = []
        self.workspaces: list[object] = []
        self._owners: dict[str, object] = {}
        self._news = threading.Condition()

    def fileno(self) -> int:
        return self.near.fileno()

    def step(self, workspace: object) -> Next:
        try:
            with Ownership(self):
                self.workspaces.append(workspace)
                return self._act()
        finally:
            # Whoever waits for this step may resume the errand before it has returned.
            with self._news:
                self.steps += 1
                self._news.notify_all()

    def _act(self) -> Next:
        if self.act is not None:
            return self.act(self)
        drain(self.near)
        return Next.READ

    def close(self) -> None:
        with Ownership(self), self._news:
            self.near.close()
            self.closes += 1
            self._news.notify_all()

    def ping(self) -> None:
        """Make it readable."""
        self.far.send(b".")

    def wait_for_steps(self, count: int) -> None:
        with self._news:
            done = self._news.wait_for(lambda: self.steps >= count, LIMIT_S)
        assert done, f"{self.steps} steps, not {count}"

    def wait_for_close(self) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.closes, LIMIT_S), "not closed"

    def release(self) -> None:
        self.near.close()
        self.far.close()


class Ownership:
    """Held by whoever steps, closes or changes an errand."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._claim = object()

    def __enter__(self) -> None:
        errand = self._errand
        if errand._owners.setdefault("owner", self._claim) is not self._claim:
            errand.faults.append("two owners")
        if errand.closes:
            errand.faults.append("touched after its end")

    def __exit__(self, *_: object) -> None:
        self._errand._owners.pop("owner", None)


class Blocker:
    """The act of an errand that blocks, as on a disk, until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, errand: Errand) -> Next:
        drain(errand.near)
        self.entered.release()
        assert self.go_on.wait(LIMIT_S)
        return Next.READ

    def wait_for(self, count: int) -> None:
        for number in range(count):
            assert self.entered.acquire(timeout=LIMIT_S), f"{number} of {count} entered"


class Bench:
    """Pools and errands of one test, with the checks that hold for every test."""

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self._errands: list[Errand] = []
        self._pools: list[WorkerPool[Errand, object]] = []

    def pool(
        self, threads: int, *, spare: int | None = None, name: str = "worker"
    ) -> WorkerPool[Errand, object]:
        made: WorkerPool[Errand, object] = WorkerPool(
            self.poller, threads, spare=spare, name=name, workspace=object
        )
        self._pools.append(made)
        return made

    def errand(self, act: Callable[[Errand], Next] | None = None) -> Errand:
        made = Errand(act)
        self._errands.append(made)
        return made

    def added(
        self,
        pool: WorkerPool[Errand, object],
        act: Callable[[Errand], Next] | None = None,
        interest: Interest = Interest.READ,
    ) -> Errand:
        made = self.errand(act)
        pool.add(made, interest)
        return made

    def fence(self, pool: WorkerPool[Errand, object]) -> None:
        """Return once the pool has stepped a task that became ready after all the others."""
        fence = self.added(pool, lambda _: Next.CLOSE)
        fence.ping()
        fence.wait_for_close()

    def parked(self, pool: WorkerPool[Errand, object], then: Next = Next.READ) -> Errand:
        """Return an errand that has parked itself at its first step."""
        made = self.added(pool, lambda errand: Next.PARKED if not errand.steps else then)
        made.ping()
        made.wait_for_steps(1)
        return made

    def stop(self, pool: WorkerPool[Errand, object], timeout_s: float | None = None) -> bool:
        self._pools.remove(pool)
        return Running(lambda: pool.stop(timeout_s)).result()

    def finish(self) -> None:
        for pool in list(self._pools):
            assert self.stop(pool)
        for errand in self._errands:
            errand.release()
        assert [fault for errand in self._errands for fault in errand.faults] == []
