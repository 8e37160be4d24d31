"""Threads that share one poller, step what becomes ready, and do what the step says next.

A worker waits for one event, and so owns the task behind it until it re-arms it. The
task's `step` does what it can, blocking on disks if it must, and returns what is next.
Only this loop re-arms and closes; so at every line it is plain who owns a task.

The table `_armed` holds the tasks that wait in the poller. Taking a task out of the table
is the claim to it: an event whose task is gone has been overtaken, and is dropped. That is
how other threads may interfere with a waiting task (`kick`) without ever sharing it.

All threads exist from the start, since operators count them and since starting one takes
time when a disk has just stalled. Few of them run (`mogpoll.elastic`): the others stand
by, last in first out, until `mogpoll.monitor` sees that more are needed.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mogpoll.errors import AlreadyRegistered, PollerClosed, PollError
from mogpoll.interest import Interest
from mogpoll.monitor import Monitor
from mogpoll.stopping import signals_blocked
from mogpoll.task import INTERESTS, Next, Task
from mogpoll.waker import BouncingWaker

if TYPE_CHECKING:
    from mogpoll.poller import Poller

_log = logging.getLogger("mogpoll")


class _Worker:
    """A thread's record, written by its thread alone save where noted.

    **Threads:** `waiting` and `steps` are read by the monitor, each whole: an old value makes it
    decide a look too late. The gate's lock orders `dismissed` before the thread's look at it.
    """

    __slots__ = ("dismissed", "gate", "steps", "thread", "waiting")

    def __init__(self) -> None:
        self.waiting = False
        self.steps = 0
        # Set by others before they open the gate of a thread that should end.
        self.dismissed = False
        # Closed while the thread stands by, and opened by whoever lets it run.
        self.gate = threading.Lock()
        self.gate.acquire()
        self.thread: threading.Thread

    @property
    def native_id(self) -> int:
        return self.thread.native_id or 0


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
    being the worker that stepped it. `_armed`, `_arming`, `_resumed` and `_idents` are
    touched by single operations, each atomic with and without the interpreter lock: a task
    belongs to whoever took it out. `_attention` is read without the lock after each step; one
    who sees it late attends a step later.
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
        self._is_stopped = False
        self._monitor = Monitor(
            poller.fileno(), self._spare, self._running, self._adapt, f"{name}-monitor"
        )
        with self._lock:
            self._start_workers(threads)
            self._unpark(self._spare)
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
            self._wake()

    def kick(self, chosen: Callable[[T], bool], act: Callable[[T], None] | None = None) -> int:
        """Step every waiting task that is `chosen`, ready or not; return their number.

        `act` is called with each of them before, as its owner. A task that is being
        stepped at this moment is left alone. `chosen` sees tasks that it does not own.
        """
        kicked = 0
        with self._claims:
            # A copy is made in one operation, a list of the items is not everywhere.
            for fd, seen in self._armed.copy().items():
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
            self._wake()
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
            if self._stopping:
                # There is nothing left to make larger or smaller.
                return
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
        for longer than the time-out: then nothing more is touched and False returned. A
        parked task that is resumed later is closed then. To stop again does no harm.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            if self._is_stopped:
                return True
            self._stopping = self._attention = True
            self._unpark(len(self._parked))
            threads = [*self._threads, self._monitor]
            self._monitor.end()
            self._waker.wake()
        for thread in threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                return False
        with self._lock:
            if not self._is_stopped:
                self._is_stopped = True
                self._poller.forget(self._waker_fd)
                self._waker.close()
        self._close_left()
        return True

    def _wake(self) -> None:
        """Wake a worker; once the pool has stopped, close what it was to be woken for."""
        try:
            self._waker.wake()
        except ValueError:
            self._close_left()

    def _close_left(self) -> None:
        """Close what waits, when no worker is left to step it."""
        for fd in self._armed.copy():
            task = self._armed.pop(fd, None)
            if task is not None:
                self._close(fd, task)
        while self._resumed:
            try:
                task = self._resumed.popleft()
            except IndexError:
                # Another thread had the same idea.
                return
            self._close(task.fileno(), task)

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
                # Where the system has no more threads this raises, and nobody counts on it.
                worker.thread.start()
                self._workers.append(worker)
                self._parked.append(worker)
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
        # Whether it is the turn of what the poller tells, which those who are resumed again
        # and again would starve.
        is_pollers_turn = False
        while True:
            if resumed and not is_pollers_turn:
                is_pollers_turn = True
                try:
                    task = resumed.popleft()
                except IndexError:
                    continue
                if resumed:
                    # This step may block: somebody else should have the next one.
                    self._waker.wake()
                fd = task.fileno()
            else:
                is_pollers_turn = False
                if resumed:
                    event = wait(0)
                    if event is None:
                        continue
                    # As above.
                    self._waker.wake()
                    fd = event[0]
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
                interest = INTERESTS[verdict]
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
        except PollerClosed:
            # A pool that was stopped long ago closes what is resumed only now.
            pass
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
