"""What each worker of a pool does: wait for an event, step its task, arm it again.

While tasks are queued, they and the events of the poller take turns.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic

from mogpoll.errors import PollerClosed
from mogpoll.poller import Poller
from mogpoll.pool.crew import Crew, Worker
from mogpoll.pool.step import INTERESTS, Next, Reason, T, W
from mogpoll.pool.table import TaskTable
from mogpoll.threads import RareLog, log_exception
from mogpoll.waker import BouncingWaker

_log = logging.getLogger("mogpoll")

# Cached: enum attribute access is slow.
_CLOSE, _PARKED, _NOTIFIED = Next.CLOSE, Next.PARKED, Next.NOTIFIED
_READY = Reason.READY

# In the place of a descriptor.
_NONE = -1

# Between a worker's failure outside of a step and its next try.
_RECOVERY_S = 0.1


class Loop(Generic[T, W]):
    """The work of all threads of a pool; `crew` is set before they start.

    **Threads:** each worker calls `main`; the rest may be called by any. `workers` is used by
    single operations of a dict.
    """

    crew: Crew

    def __init__(self, poller: Poller, workspace: Callable[[], W]) -> None:
        self._poller = poller
        self._workspace = workspace
        # By the identity of its thread.
        self.workers: dict[int, Worker] = {}
        self.table: TaskTable[T] = TaskTable(poller, self.workers, self.wake, self._refuse)
        self._failures = RareLog()
        self.waker = BouncingWaker()
        try:
            self._waker_fd = self.waker.attach(poller)
        except BaseException:
            self.waker.close()
            raise

    def wake(self) -> None:
        """Wake a worker, or close the queued tasks if the pool has stopped."""
        try:
            self.waker.wake()
        except ValueError:
            self.close_left()

    def close_waker(self) -> None:
        """Once there are no workers."""
        try:
            self._poller.forget(self._waker_fd)
        except PollerClosed:
            pass  # by the parent of a forked child, or by force
        finally:
            self.waker.close()

    def close_left(self) -> None:
        """Close all waiting and queued tasks, once there are no workers."""
        for task in self.table.take_left():
            self._close(task.fileno(), task)

    def main(self, worker: Worker) -> None:
        try:
            while True:
                try:
                    self._serve(worker, self._workspace())
                    return
                except PollerClosed:
                    _log.critical("%s ended: its poller was closed", worker.thread.name)
                    return
                except BaseException:
                    self._failures.error(
                        "%s failed; it goes on", worker.thread.name, with_reason=True
                    )
                if self._recover(worker):
                    return
        finally:
            # The system may reuse the identity.
            self.workers.pop(threading.get_ident(), None)
            self.crew.drop(worker)

    def _recover(self, worker: Worker) -> bool:
        """Recover events that a failure may have lost; return True if this thread is to end.

        A failed wait may have received an event, so that a task or the waker is disarmed. An
        extra arming or step is harmless.
        """
        while True:
            time.sleep(_RECOVERY_S)
            try:
                with self.crew.lock:
                    self.waker.receive(self._poller)
                    is_over = self.crew.stopping or worker not in self.crew.workers
                if not is_over:
                    self.table.sweep(lambda _: True, None)
            except PollerClosed:
                return True
            except (MemoryError, OSError):
                continue
            return is_over

    def _serve(self, worker: Worker, workspace: W) -> None:
        # Each line of this loop runs for every event.
        self.workers[threading.get_ident()] = worker
        table, crew = self.table, self.crew
        wait, rearm = self._poller.wait, self._poller.rearm
        armed, take, arming = table.armed, table.armed.pop, table.arming
        queue, marks, deadlines = table.queue, table.marks, table.deadlines
        # Queued tasks and events alternate, so that neither starves.
        is_pollers_turn = False
        # Owned by this thread.
        task: T | None = None
        try:
            while True:
                if queue and not is_pollers_turn:
                    is_pollers_turn = True
                    try:
                        task, worker.reason = queue.popleft()
                    except IndexError:
                        continue
                    fd = task.fileno()
                    if queue:
                        # This step may block: wake another worker for the next task.
                        self.waker.wake()
                else:
                    if is_pollers_turn:
                        is_pollers_turn = False
                        worker.reason = _READY
                    if queue:
                        event = wait(0)
                        if event is None:
                            continue
                        # As above.
                        self.waker.wake()
                        fd = event[0]
                    else:
                        worker.waiting = True
                        # Never None without a time-out.
                        fd = wait()[0]  # type: ignore[index]
                        worker.waiting = False
                    task = take(fd, None)
                    if task is None:
                        # The pool's waker, or a claimant has the task.
                        if fd == self._waker_fd and self._receive_waker(worker):
                            return
                        continue
                if fd in arming:
                    table.await_arming(fd)
                # This step is what was asked for.
                if marks and marks.pop(id(task), None) is _CLOSE:
                    self._close(fd, task)
                    task = None
                    continue
                if deadlines:
                    deadlines.pop(id(task), None)
                try:
                    verdict = task.step(workspace)
                except BaseException:
                    log_exception("a step of %r failed", task)
                    verdict = _CLOSE
                try:
                    interest = INTERESTS[verdict]
                except (TypeError, IndexError):
                    interest = None
                if interest is not None:
                    arming.add(fd)
                    try:
                        armed[fd] = task
                    except BaseException:
                        arming.discard(fd)
                        raise
                    try:
                        rearm(fd, interest)
                    except BaseException:
                        log_exception("could not re-arm %r", task)
                        is_ours = take(fd, None) is task
                        # Before the number can be reused.
                        arming.discard(fd)
                        if is_ours:
                            self._close(fd, task)
                    else:
                        arming.discard(fd)
                        if marks:
                            # No longer owned here.
                            stepped, task = task, None
                            table.claim_if_marked(fd, stepped)
                elif verdict is _NOTIFIED:
                    armed[fd] = stepped = task
                    task = None
                    if marks:
                        table.claim_if_marked(fd, stepped)
                elif verdict is not _PARKED:
                    if verdict is not _CLOSE:
                        self._failures.error("a step of %r returned %r: no Next", task, verdict)
                    self._close(fd, task)
                # A parked task is left alone: it may be in its next step already. Its deadline
                # finds no task that waits, until that step ends it.
                task = None
                worker.steps += 1
                if crew.attention and crew.park_or_leave(worker, queue):
                    return
        except BaseException:
            worker.waiting = False
            if task is not None:
                self._close(table.members.get(id(task), _NONE), task)
            raise

    def _close(self, fd: int, task: T) -> None:
        try:
            if fd >= 0:
                self._poller.forget(fd)
        except PollerClosed:
            pass  # the pool stopped before the task was resumed
        except BaseException:
            log_exception("could not forget %r", task)
        self.table.drop(id(task))
        try:
            task.close()
        except BaseException:
            log_exception("could not close %r", task)

    def _refuse(self, task: T) -> None:
        self._failures.error("no memory to resume %r", task)
        self._close(task.fileno(), task)

    def _receive_waker(self, worker: Worker) -> bool:
        """Handle an event of the waker; return True if this thread is to end."""
        crew = self.crew
        with crew.lock:
            leave = crew.stopping or crew.leave(worker)
            # While tasks are queued it stays readable, for the next worker.
            if not (crew.stopping or crew.leaving or self.table.queue):
                self.waker.drain()
                if leave and self.table.queue:
                    # One was queued since, and its wake may have been drained.
                    self.waker.wake()
            self.waker.receive(self._poller)
            return leave
