"""Threads that share one poller, step what becomes ready, and do what the step says next.

A worker waits for one event, and so owns the task behind it until it re-arms it. The
task's `step` does what it can, blocking on disks if it must, and returns what is next.
Only this loop re-arms and closes; so at every line it is plain who owns a task.

The table `_armed` holds the tasks that wait in the poller. Taking a task out of the table
is the claim to it: an event whose task is gone has been overtaken, and is dropped. That is
how other threads may interfere with a waiting task (`kick`) without ever sharing it.

All threads exist from the start, since operators count them and since starting one takes
time when a disk has just stalled. Few of them run (`mogpoll.elastic`): the others stand
by, last in first out. A monitor thread sleeps until the poller has an event that nobody
took, then looks every few milliseconds until that is over.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from mogpoll.elastic import Elastic, Look
from mogpoll.errors import AlreadyRegistered, PollError
from mogpoll.interest import Interest
from mogpoll.stopping import signals_blocked
from mogpoll.waker import BouncingWaker

if TYPE_CHECKING:
    from mogpoll.poller import Poller

_log = logging.getLogger("mogpoll")

# How often the monitor looks while events are queued and nobody takes them.
_LOOK_INTERVAL_S = 0.004


class Next(IntEnum):
    """What should happen to a task after its step."""

    CLOSE = 0
    """Forget and close it."""
    READ = 1
    """Step it again when it is readable."""
    WRITE = 2
    """Step it again when it is writable."""
    READ_WRITE = 3
    """Step it again when it is either."""
    AGAIN = 4
    """Step it again once it is writable, after all that are ready now had their turn."""
    PARKED = 5
    """Nothing: somebody else has it already, or will call `WorkerPool.resume`."""


# Indexed by Next.
_INTERESTS = (None, Interest.READ, Interest.WRITE, Interest.READ_WRITE, Interest.WRITE, None)

Workspace = TypeVar("Workspace", contravariant=True)


class Task(Protocol[Workspace]):
    """What a pool steps: a connection, as a rule."""

    def fileno(self) -> int:
        """Return the descriptor by which the poller knows this task."""

    def step(self, workspace: Workspace) -> Next:
        """Do what can be done now. Called by one thread at a time.

        After a step has passed its task on to others, it touches nothing of it any more
        and returns PARKED.
        """

    def close(self) -> None:
        """Release everything. Called once, by the pool; must not raise."""


class _Worker:
    """A thread's record, written by its thread alone save where noted."""

    __slots__ = ("dismissed", "gate", "seen_steps", "steps", "thread", "waiting")

    def __init__(self) -> None:
        self.waiting = False
        self.steps = 0
        # The monitor's.
        self.seen_steps = 0
        # Set by others before they open the gate of a thread that should end.
        self.dismissed = False
        # Closed while the thread stands by, and opened by whoever lets it run.
        self.gate = threading.Lock()
        self.gate.acquire()
        self.thread: threading.Thread


T = TypeVar("T", bound="Task[Any]")
W = TypeVar("W")


class WorkerPool(Generic[T, W]):
    """`threads` threads that step the tasks of `poller`.

    Each thread owns one object made by `workspace`, say buffers, and passes it to every
    step it runs. `spare` is how many threads run while nothing blocks: by default one
    under the interpreter lock, else one per processor.

    A step that raises costs its own task only: the exception is logged, the task closed.

    **Threads:** all methods may be called from any thread, `stop` and `resize` from any
    that is not a worker's. `_lock` guards the list of workers, the parked ones and the
    counts of those to leave; `_claims` is held by whoever arms or claims a task without
    being the worker that stepped it. `_armed`, `_arming` and `_idents` are touched by
    single operations.
    """

    def __init__(
        self,
        poller: Poller,
        threads: int,
        *,
        workspace: Callable[[], W] = lambda: None,  # type: ignore[assignment,return-value]
        spare: int | None = None,
        name: str = "worker",
    ) -> None:
        if threads < 1:
            raise ValueError(f"a pool of {threads} threads cannot work")
        self._poller = poller
        self._workspace = workspace
        self._name = name
        self._spare = _default_spare() if spare is None else spare
        self._armed: dict[int, T] = {}
        # Descriptors between their entry into the table and the end of their arming.
        self._arming: set[int] = set()
        # Parked tasks that may go on; taken by whichever worker comes first.
        self._resumed: deque[T] = deque()
        self._idents: set[int] = set()
        self._claims = threading.Lock()
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        # All that were started, with those that are about to end.
        self._threads: list[threading.Thread] = []
        self._parked: list[_Worker] = []
        # How many of the running ones should stand by, and how many should end.
        self._surplus = 0
        self._leaving = 0
        self._stopping = False
        # Whether one of the three above concerns running workers; read after each step.
        self._attention = False
        self._started = 0
        self._waker = BouncingWaker()
        self._waker_fd = self._waker.attach(poller)
        self._over = threading.Event()
        self._monitor = threading.Thread(target=self._watch, name=f"{name}-monitor", daemon=True)
        with self._lock:
            self._start_workers(threads)
            self._unpark(self._spare)
        with signals_blocked():
            self._monitor.start()

    def add(self, task: T, interest: Interest = Interest.READ) -> None:
        """Take on a new task, and step it when it is ready for `interest`.

        **Raises:** what `Poller.add` raises; the task is then still the caller's.
        """
        fd = task.fileno()
        with self._claims:
            if fd in self._armed:
                raise AlreadyRegistered(fd)
            self._arming.add(fd)
            self._armed[fd] = task
            try:
                self._poller.add(fd, interest)
            except BaseException:
                if self._armed.get(fd) is task:
                    del self._armed[fd]
                raise
            finally:
                self._arming.discard(fd)

    def resume(self, task: T) -> None:
        """Step a parked task now, whether or not its descriptor is ready.

        Called from a step, the same thread continues with it after that step. The caller
        owns the task until here.
        """
        self._resumed.append(task)
        if threading.get_ident() not in self._idents:
            self._waker.wake()

    def kick(self, chosen: Callable[[T], bool], act: Callable[[T], None] | None = None) -> int:
        """Step every waiting task that is `chosen`, ready or not; return their number.

        `act` is called with each of them before, as its owner. A task that is being
        stepped at this moment is left alone. `chosen` sees tasks that it does not own.
        """
        kicked = 0
        with self._claims:
            for fd, seen in list(self._armed.items()):
                if not chosen(seen):
                    continue
                task = self._armed.pop(fd, None)
                if task is None:
                    continue
                self._await_arming(fd)
                if act is not None and task is seen:
                    act(task)
                # Not by re-arming: a socket that is full and silent would not be stepped.
                # An event that its arming still brings finds the table without it.
                self.resume(task)
                kicked += 1
        if kicked:
            # The caller may be a step that waits for what the others will do.
            self._waker.wake()
        return kicked

    def waiting_tasks(self) -> list[T]:
        """Return the tasks that wait in the poller now; others are being stepped."""
        return list(self._armed.values())

    @property
    def size(self) -> int:
        """The number of threads; those that are about to end are not counted."""
        with self._lock:
            return len(self._workers) - self._leaving

    def resize(self, threads: int) -> None:
        """Make the pool `threads` threads large; surplus ones finish their step first.

        **Raises:** `ValueError` below 1.
        """
        if threads < 1:
            raise ValueError(f"a pool of {threads} threads cannot work")
        with self._lock:
            surplus = len(self._workers) - threads
            # Those who stand by end first, and disturb nobody.
            while surplus > 0 and self._parked:
                worker = self._parked.pop()
                worker.dismissed = True
                self._workers.remove(worker)
                worker.gate.release()
                surplus -= 1
            self._leaving = max(0, surplus)
            self._notice()
            if surplus < 0:
                self._start_workers(-surplus)
            elif surplus > 0:
                self._waker.wake()

    def stop(self, timeout_s: float | None = None) -> bool:
        """End all threads; True when all have ended within `timeout_s` seconds.

        Each finishes its step. Tasks that are left are closed, unless a thread is stuck
        for longer than the time-out: then nothing more is touched and False returned.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            self._stopping = self._attention = True
            self._unpark(len(self._parked))
            threads = [*self._threads, self._monitor]
        self._over.set()
        self._waker.wake()
        for thread in threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                return False
        left = [*self._armed.items(), *((task.fileno(), task) for task in self._resumed)]
        self._armed.clear()
        self._resumed.clear()
        for fd, task in left:
            self._close(fd, task)
        self._poller.forget(self._waker_fd)
        self._waker.close()
        return True

    def _start_workers(self, count: int) -> None:
        """Start threads that stand by; the caller holds `_lock`."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        with signals_blocked():
            for _ in range(count):
                self._started += 1
                worker = _Worker()
                worker.thread = threading.Thread(
                    target=self._main,
                    args=(worker,),
                    name=f"{self._name}-{self._started}",
                    daemon=True,
                )
                self._workers.append(worker)
                self._parked.append(worker)
                worker.thread.start()
                self._threads.append(worker.thread)

    def _main(self, worker: _Worker) -> None:
        worker.gate.acquire()
        if worker.dismissed:
            return
        try:
            self._serve(worker, self._workspace())
        except BaseException:
            _log.critical("%s failed", worker.thread.name, exc_info=True)
            raise
        finally:
            # The system may give the identity to another thread.
            self._idents.discard(threading.get_ident())

    def _serve(self, worker: _Worker, workspace: W) -> None:
        # Every line of this loop is paid for by every event.
        self._idents.add(threading.get_ident())
        resumed = self._resumed
        wait, rearm = self._poller.wait, self._poller.rearm
        armed, take, arming = self._armed, self._armed.pop, self._arming
        while True:
            if resumed:
                try:
                    task = resumed.popleft()
                except IndexError:
                    continue
                if resumed:
                    # This step may block: somebody else should have the next one.
                    self._waker.wake()
                fd = task.fileno()
            else:
                worker.waiting = True
                # Without a time-out there is always an event.
                fd = wait()[0]  # type: ignore[index]
                worker.waiting = False
                claimed = take(fd, None)
                if claimed is None:
                    # The pool's own waker, or an event that a kick has overtaken.
                    if fd == self._waker_fd and self._receive_waker(worker):
                        return
                    continue
                task = claimed
                if fd in arming:
                    self._await_arming(fd)
            try:
                verdict = task.step(workspace)
                interest = _INTERESTS[verdict]
            except Exception:
                _log.exception("a step of %r failed", task)
                verdict, interest = Next.CLOSE, None
            worker.steps += 1
            if interest is not None:
                arming.add(fd)
                armed[fd] = task
                try:
                    rearm(fd, interest)
                except PollError:
                    _log.exception("could not re-arm %r", task)
                    if take(fd, None) is task:
                        self._close(fd, task)
                finally:
                    arming.discard(fd)
            elif verdict is Next.CLOSE:
                self._close(fd, task)
            if self._attention and self._attend(worker):
                return

    def _close(self, fd: int, task: T) -> None:
        try:
            self._poller.forget(fd)
        except PollError:
            _log.exception("could not forget %r", task)
        try:
            task.close()
        except Exception:
            _log.exception("could not close %r", task)

    def _receive_waker(self, worker: _Worker) -> bool:
        """Answer the waker; True when this thread should end."""
        with self._lock:
            leave = self._stopping or self._leave(worker)
            if not (self._stopping or self._leaving):
                self._waker.drain()
                if leave and self._resumed:
                    # It was for them, and is somebody else's concern now.
                    self._waker.wake()
            self._waker.receive(self._poller)
            return leave

    def _attend(self, worker: _Worker) -> bool:
        """End or stand by, if the counts ask for it; True when this thread should end."""
        with self._lock:
            if self._resumed and not self._stopping:
                # Resumed by this thread's last step perhaps, and then nobody else knows.
                return False
            if self._stopping or self._leave(worker):
                return True
            # The counts may be old: never stand by as one of the last who run. Whether the
            # others are stuck by now is for the monitor to see.
            running = len(self._workers) - len(self._parked)
            if not self._surplus or running <= self._spare:
                return False
            self._surplus -= 1
            self._notice()
            self._parked.append(worker)
        worker.gate.acquire()
        return worker.dismissed

    def _leave(self, worker: _Worker) -> bool:
        """Take one of the places of those who should end; the caller holds `_lock`."""
        if not self._leaving:
            return False
        self._leaving -= 1
        self._workers.remove(worker)
        self._notice()
        return True

    def _notice(self) -> None:
        self._attention = bool(self._stopping or self._leaving or self._surplus)

    def _unpark(self, count: int) -> None:
        """Let `count` workers run, the last to stand by first; the caller holds `_lock`."""
        for _ in range(min(count, len(self._parked))):
            self._parked.pop().gate.release()

    def _await_arming(self, fd: int) -> None:
        """Return once nobody is between entering `fd` into the table and arming it.

        Who claims a task in between, by a kick or by an event that a kick has overtaken,
        could close it, and the late call would fail, or change the arming of another task
        that has the number by then.
        """
        while fd in self._arming:
            time.sleep(0)

    def _running(self) -> list[_Worker]:
        with self._lock:
            parked = set(map(id, self._parked))
            return [worker for worker in self._workers if id(worker) not in parked]

    def _watch(self) -> None:
        """Be the monitor: adapt the number of running workers to what they do."""
        elastic = Elastic(self._spare)
        queue = select.poll()
        queue.register(self._poller.fileno(), select.POLLIN)
        while not self._over.is_set():
            queue.poll()
            running = self._running()
            for worker in running:
                worker.seen_steps = worker.steps
            began, cpu_began = time.monotonic(), time.process_time()
            if self._over.wait(_LOOK_INTERVAL_S):
                return
            steps = [worker.steps - worker.seen_steps for worker in running if not worker.waiting]
            look = Look(
                waiting=len(running) - len(steps),
                busy=len(steps) - steps.count(0),
                stuck=steps.count(0),
                steps=sum(steps),
                backlog=bool(queue.poll(0)),
                interval_s=time.monotonic() - began,
                cpu_s=time.process_time() - cpu_began,
            )
            self._adapt(elastic.decide(look))

    def _adapt(self, change: int) -> None:
        with self._lock:
            if not self._stopping:
                self._surplus = max(0, -change)
                self._unpark(max(0, change))
                self._notice()


def _default_spare() -> int:
    """One running thread under the interpreter lock; else one per processor."""
    locked: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
    return 1 if locked else (os.cpu_count() or 1)
