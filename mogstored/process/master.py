"""The master of a node with worker processes: keeps them running, and serves nothing itself.

A worker that dies is replaced by a fork, and only a process without threads can fork safely. So
the master has none: it waits in one `poll`. The other workers are started when the first is ready
and so has written the usage files, which their clients may request.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn

from mogpoll.system.limits.threads import name_limit
from mogpoll.system.timeouts import next_wait
from mogpoll.threads import signals_blocked
from mogstored.admin.control import ServingProcess
from mogstored.children import describe_exit, forget_child, note_child
from mogstored.config.model import Config, ConfigError
from mogstored.log.printable import reason
from mogstored.log.rate_limit import RateLimiter
from mogstored.process.admin.keeper import ChannelEnds
from mogstored.process.flusher import flush_before_exit
from mogstored.process.ipc import IpcChannel, Kind
from mogstored.process.lifecycle import Lifecycle
from mogstored.process.main_loop import log_the_end, run_loop, survive
from mogstored.process.signals import soonest
from mogstored.process.utilization_relay import decode_wanted, encode_wanted
from mogstored.process.worker import WorkerProcess
from mogstored.server import BoundService
from mogstored.utilization.pipe_feed import ReportReader, ReportSender

_log = logging.getLogger("mogstored")

# Minimum seconds between starts, by number of consecutive failures.
_MIN_INTERVALS_S = (1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_FORK_RETRY_S = 10.0
# How long after `stop_timeout` a worker is killed.
_KILL_DELAY_S = 4.0
# A worker without a message for so many keep-alive intervals is not alive.
_MISSED_KEEPALIVES = 2


@dataclass(slots=True)
class WorkerHandle:
    """A worker process that the master has not reaped."""

    pid: int
    ipc: IpcChannel
    reports_fd: int
    reports: ReportSender
    started_at: float
    alive_at: float
    is_ready: bool = False
    wants_reports: bool = False
    clients: int = 0

    def close(self) -> None:
        """Release the master's side; the worker stops when it sees that."""
        self.ipc.close()
        os.close(self.reports_fd)


@dataclass(slots=True)
class WorkerSlot:
    """A worker's number, kept when its process is replaced."""

    number: int
    worker: WorkerHandle | None = None
    due_at: float | None = None
    """When to start a process; None while one runs, and while none should."""
    starts: int = 0
    replaced: tuple[int, int] | None = None
    """The PID of the process before, and its exit code; None for the first one."""
    failures: int = 0
    """Consecutive processes that failed before they could serve."""

    def min_interval_s(self) -> float:
        """Return the time from the start of one process to the start of the next."""
        return _MIN_INTERVALS_S[min(self.failures, len(_MIN_INTERVALS_S) - 1)]


class Master:
    """Used by the main thread of a process without other threads."""

    def __init__(
        self, config: Config, bound_services: Sequence[BoundService], lifecycle: Lifecycle
    ) -> None:
        self._config = config
        self._bound = bound_services
        self._lifecycle = lifecycle
        self._slots = [WorkerSlot(number) for number in range(config.worker_processes.number)]
        # An epoll or kqueue descriptor would be shared with the children.
        self._selector = selectors.PollSelector()
        self._selector.register(lifecycle.signals, selectors.EVENT_READ)
        lifecycle.apply = self._apply
        self._is_announced = False
        self._is_stopping = False
        self._startup_error: str | None = None
        self._give_up_at: float | None = None
        interval_s = lifecycle.notifier.keepalive_interval_s
        self._keepalives = None if interval_s is None else RateLimiter(interval_s)

    def run(self) -> None:
        """Keep workers running until a stop is asked for; return when the last has ended.

        **Raises:** `ConfigError` if a worker fails before the node is ready.
        """
        self._slots[0].due_at = monotonic()
        run_loop(self._is_over)
        if self._startup_error is not None:
            raise ConfigError(self._startup_error)

    def _is_over(self) -> bool:
        """Wait for events and act on them; return True when the last worker has ended."""
        if self._is_stopping and not any(self._workers()):
            return True
        self._start_due()
        for key, _ in self._selector.select(self._timeout_s()):
            if isinstance(key.data, WorkerSlot):
                self._receive(key.data)
        received = self._lifecycle.signals.receive()
        if signal.SIGUSR1 in received:
            # Each worker has the access log open.
            for worker in self._workers():
                os.kill(worker.pid, signal.SIGUSR1)
        if not self._is_stopping and self._lifecycle.wants_stop(received):
            self._stop()
        self._reap()
        self._lifecycle.admin.advance()
        self._lifecycle.orphans.reap()
        self._send_keepalive()
        if self._give_up_at is not None and monotonic() >= self._give_up_at:
            self._kill_workers()
            return True
        return False

    def _workers(self) -> Iterable[WorkerHandle]:
        return (slot.worker for slot in self._slots if slot.worker is not None)

    def _timeout_s(self) -> float | None:
        now = monotonic()
        due = [slot.due_at - now for slot in self._slots if slot.due_at is not None]
        if self._give_up_at is not None:
            due.append(self._give_up_at - now)
        flush_s = self._lifecycle.signals.flusher.interval_s
        return next_wait(soonest(self._lifecycle.wait_interval_s(), flush_s, *due))

    # Starting and replacing.

    def _start_due(self) -> None:
        for slot in self._slots:
            if slot.due_at is not None and slot.due_at <= monotonic():
                self._start(slot)

    def _start(self, slot: WorkerSlot) -> None:
        try:
            slot.worker = self._fork(slot.number)
        except (OSError, MemoryError) as error:
            cause = reason(error) if isinstance(error, OSError) else "too little memory"
            _log.error("cannot start worker[%d]: %s", slot.number, name_limit() or cause)
            slot.due_at = monotonic() + _FORK_RETRY_S
            return
        slot.due_at = None
        slot.starts += 1
        if slot.starts > 1:
            self._lifecycle.admin.update(
                lambda facts: facts._replace(worker_restarts=facts.worker_restarts + 1)
            )
        self._selector.register(slot.worker.ipc, selectors.EVENT_READ, slot)
        self._lifecycle.signals.flusher.add(slot.worker.ipc)
        if slot.number == 0:
            self._relay_demand()
        if slot.replaced is not None:
            before, code = slot.replaced
            _log.info(
                "worker[%d] PID:%d replaces PID:%d, which %s",
                *(slot.number, slot.worker.pid, before, describe_exit(code)),
            )

    def _fork(self, number: int) -> WorkerHandle:
        reader, writer = os.pipe()
        try:
            near, far = IpcChannel.pair()
        except BaseException:
            os.close(reader)
            os.close(writer)
            raise
        channel = self._lifecycle.admin.open_channel()
        # Until the child has a queue of its own, its signals would arrive in the parent's.
        with signals_blocked():
            try:
                pid = os.fork()
            except OSError:
                os.close(writer)
                near.close()
                if channel is not None:
                    channel.ours.close()
                raise
            else:
                if pid == 0:
                    os.close(writer)
                    near.close()
                    self._become_worker(number, far, reader, channel)
            finally:
                os.close(reader)
                far.close()
                if channel is not None:
                    channel.observers.close()
        note_child(pid)
        if channel is not None:
            self._lifecycle.admin.add(ServingProcess(number, pid), channel.ours)
        now = monotonic()
        return WorkerHandle(pid, near, writer, ReportSender(writer), started_at=now, alive_at=now)

    def _become_worker(
        self, number: int, ipc: IpcChannel, reports_fd: int, channel: ChannelEnds | None
    ) -> NoReturn:
        """Serve in the forked child; never return to the master's code."""
        status = 1
        log = self._lifecycle.log
        try:
            log.forget()
            self._lifecycle.signals.abandon()
            if self._lifecycle.caller is not None:
                self._lifecycle.caller.close()
            self._lifecycle.upgrade.launcher.abandon()
            self._lifecycle.admin.disown()
            if channel is not None:
                channel.ours.close()
            for sibling in self._workers():
                # While another process holds these, a sibling does not see the master's death.
                sibling.close()
            interval_s = self._lifecycle.notifier.keepalive_interval_s
            title = self._lifecycle.title
            observer_sock = channel and channel.observers
            worker = WorkerProcess(number, ipc, reports_fd, title, log, interval_s, observer_sock)
            worker.run(self._config, self._bound)
            status = 0
        except BaseException as error:
            log_the_end(f"worker[{number}]", error)
        finally:
            try:
                flush_before_exit((log, ipc))
            finally:
                os._exit(status)

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.worker is None:
                continue
            pid, status = os.waitpid(slot.worker.pid, os.WNOHANG)
            if pid:
                forget_child(pid)
                self._reap_worker(slot, slot.worker, os.waitstatus_to_exitcode(status))

    def _reap_worker(self, slot: WorkerSlot, worker: WorkerHandle, code: int) -> None:
        # First what a stop and a replacement depend on: the rest may find no memory.
        slot.worker = None
        slot.failures = slot.failures + 1 if code > 0 and not worker.is_ready else 0
        if not self._is_stopping:
            slot.due_at = max(monotonic(), worker.started_at + slot.min_interval_s())
        slot.replaced = worker.pid, code
        if worker.ipc in self._selector.get_map():
            self._selector.unregister(worker.ipc)
        self._lifecycle.signals.flusher.remove(worker.ipc)
        worker.close()
        self._lifecycle.admin.remove(worker.pid)
        if code or not self._is_stopping:
            _log.warning(
                "worker[%d] PID:%d died: it %s", slot.number, worker.pid, describe_exit(code)
            )
        if slot.failures and not self._is_announced and not self._is_stopping:
            # A failed start ends the node while its caller, or an old node, still waits for it.
            self._startup_error = f"worker[{slot.number}] cannot start: it {describe_exit(code)}"
            self._stop()
        self._relay_demand()

    # Messages from workers.

    def _receive(self, slot: WorkerSlot) -> None:
        worker = slot.worker
        if worker is None:
            return
        for kind, content in worker.ipc.receive():
            survive(self._on_message, worker, kind, content)
        if worker.ipc.is_over:
            # `_reap` will report the end of the process.
            self._selector.unregister(worker.ipc)

    def _on_message(self, worker: WorkerHandle, kind: Kind, content: bytes) -> None:
        worker.alive_at = monotonic()
        if kind is Kind.READY:
            worker.is_ready = True
            self._on_ready()
        elif kind is Kind.SHUTDOWN:
            self._stop()
        elif kind is Kind.CLIENTS:
            worker.clients = int(content)
            if self._is_stopping:
                left = sum(each.clients for each in self._workers())
                self._lifecycle.notifier.draining(left)
        elif kind is Kind.WANT:
            worker.wants_reports = decode_wanted(content)
            self._relay_demand()
        elif kind is Kind.REPORT:
            self._relay_reports(worker, content)

    def _on_ready(self) -> None:
        if self._is_announced or self._is_stopping:
            return
        for slot in self._slots:
            if slot.worker is None and slot.due_at is None:
                slot.due_at = monotonic()
        if all(slot.worker and slot.worker.is_ready for slot in self._slots):
            self._is_announced = True
            self._lifecycle.announce_ready()

    def _relay_reports(self, source: WorkerHandle, content: bytes) -> None:
        for report in ReportReader().feed(content):
            for other in self._workers():
                if other is not source:
                    # A worker that has died is about to be reaped.
                    with contextlib.suppress(OSError):
                        other.reports.send(report)

    def _relay_demand(self) -> None:
        measuring = self._slots[0].worker
        if measuring is not None:
            others = (each for each in self._workers() if each is not measuring)
            wanted = any(each.wants_reports for each in others)
            measuring.ipc.send(Kind.WANT, encode_wanted(wanted))

    def _apply(self, config: Config) -> None:
        """Pass a configuration to the workers; those that replace them will have it, too."""
        self._config = config
        self._bound = [
            bound._replace(config=service)
            for bound, service in zip(self._bound, config.services, strict=True)
        ]
        # Late: few nodes are ever asked to.
        import pickle

        content = pickle.dumps(config)
        for worker in self._workers():
            worker.ipc.send(Kind.RELOAD, content)

    # Stopping and keep-alives.

    def _stop(self) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        has_successor = survive(self._lifecycle.announce_stopping)
        for bound in self._bound:
            bound.close_listeners()
        for slot in self._slots:
            slot.due_at = None
        for worker in self._workers():
            if not has_successor:
                worker.ipc.send(Kind.LAST_CALL)
            os.kill(worker.pid, signal.SIGQUIT)
        if self._config.stop_timeout_s is not None:
            # Workers apply the same time-out, and log what they give up.
            self._give_up_at = monotonic() + self._config.stop_timeout_s + _KILL_DELAY_S

    def _kill_workers(self) -> None:
        """Send SIGKILL to the workers that a hung disk keeps from ending."""
        for slot in self._slots:
            if slot.worker is not None:
                os.kill(slot.worker.pid, signal.SIGKILL)
                _log.error(
                    "worker[%d] PID:%d has not ended in time: sent SIGKILL, not waiting for it",
                    slot.number,
                    slot.worker.pid,
                )

    def _send_keepalive(self) -> None:
        """Send a keep-alive if all workers have been alive lately."""
        interval_s = self._lifecycle.notifier.keepalive_interval_s
        if interval_s is None or self._keepalives is None or not self._keepalives.is_due():
            return
        oldest = monotonic() - _MISSED_KEEPALIVES * interval_s
        if all(worker.alive_at >= oldest for worker in self._workers()):
            self._lifecycle.notifier.keepalive()
