"""The master of a node with worker processes: keeps them running, and serves nothing itself.

A worker that dies is replaced. Replacing means to fork, and only a process without threads
can fork without risk; so the master has none, waits in one `poll`, and leaves everything
else to the workers. The first worker is started first, and the others when it is ready:
it has then written the usage files, which their clients may ask for.
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

from mogpoll.stopping import signals_blocked
from mogstored.config.model import Config, ConfigError
from mogstored.pacing import Pace
from mogstored.process.feed import decode_wanted, encode_wanted
from mogstored.process.link import Kind, Link
from mogstored.process.outside import Outside
from mogstored.process.upgrade import how
from mogstored.process.worker import WorkerProcess
from mogstored.server import Site
from mogstored.storage.relay import ReportReader, ReportSender

_log = logging.getLogger("mogstored")

# A worker that ends sooner after its start than this is replaced that much later; by how
# many in a row have given up before they could serve.
_MIN_LIVES_S = (1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_FORK_RETRY_S = 10.0
# How much longer than its clients a worker may take to end, when a stop has a time-out.
_LEAVE_BEHIND_S = 4.0
# Of the intervals between signs of life: how many a worker may miss.
_SIGNS_MISSED = 2


@dataclass(slots=True)
class _Running:
    """A worker process that has not ended, as far as the master knows."""

    pid: int
    link: Link
    reports_fd: int
    reports: ReportSender
    started_at: float
    alive_at: float
    is_ready: bool = False
    wants_reports: bool = False
    clients: int = 0

    def close(self) -> None:
        """Let go of it, without a word to it."""
        self.link.close()
        os.close(self.reports_fd)


@dataclass(slots=True)
class _Place:
    """What stays when a worker process is replaced: its number."""

    number: int
    running: _Running | None = None
    due_at: float | None = None
    """When to start a process here; None while there is one, or should be none."""
    failures: int = 0
    """How many processes in a row gave up here before they could serve."""

    def pause_s(self) -> float:
        """Return how long after the start of the last process the next one may start."""
        return _MIN_LIVES_S[min(self.failures, len(_MIN_LIVES_S) - 1)]


class Master:
    """Used by the main thread of a process that never has another."""

    def __init__(self, config: Config, sites: Sequence[Site], outside: Outside) -> None:
        self._config = config
        self._sites = sites
        self._outside = outside
        self._places = [_Place(number) for number in range(config.worker_processes)]
        # A poller of the kernel's would be shared with the children.
        self._selector = selectors.PollSelector()
        self._selector.register(outside.signals, selectors.EVENT_READ)
        self._is_announced = False
        self._is_stopping = False
        # Why the node cannot start, once that is known.
        self._obstacle: str | None = None
        self._give_up_at: float | None = None
        interval_s = outside.notifier.sign_interval_s
        self._signs = None if interval_s is None else Pace(interval_s)

    def run(self) -> None:
        """Keep workers running until a signal says stop; return when the last has ended.

        **Raises:** `ConfigError` when a worker gives up before the node could serve.
        """
        self._places[0].due_at = monotonic()
        while not self._is_stopping or any(self._running()):
            self._start_due()
            ready = self._selector.select(self._timeout_s())
            for key, _ in ready:
                if isinstance(key.data, _Place):
                    self._listen(key.data)
            received = self._outside.signals.receive()
            if not self._is_stopping and self._outside.wants_stop(received):
                self._stop()
            self._reap()
            self._show_life()
            if self._give_up_at is not None and monotonic() >= self._give_up_at:
                self._leave_behind()
                return
        if self._obstacle is not None:
            raise ConfigError(self._obstacle)

    def _running(self) -> Iterable[_Running]:
        return (place.running for place in self._places if place.running is not None)

    def _timeout_s(self) -> float | None:
        now = monotonic()
        due = [place.due_at - now for place in self._places if place.due_at is not None]
        interval_s = self._outside.wait_interval_s()
        if interval_s is not None:
            due.append(interval_s)
        if self._give_up_at is not None:
            due.append(self._give_up_at - now)
        return max(0.0, min(due)) if due else None

    # Starting and replacing.

    def _start_due(self) -> None:
        for place in self._places:
            if place.due_at is not None and place.due_at <= monotonic():
                self._start(place)

    def _start(self, place: _Place) -> None:
        try:
            place.running = self._fork(place.number)
        except OSError as error:
            _log.error("cannot start worker[%d]: %s", place.number, error.strerror)
            place.due_at = monotonic() + _FORK_RETRY_S
            return
        place.due_at = None
        self._selector.register(place.running.link, selectors.EVENT_READ, place)
        if place.number == 0:
            self._pass_on_wants()

    def _fork(self, number: int) -> _Running:
        reader, writer = os.pipe()
        try:
            near, far = Link.pair()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        # Until the child has its own queue for them, its signals would reach ours.
        with signals_blocked():
            try:
                pid = os.fork()
            except OSError:
                os.close(writer)
                near.close()
                raise
            else:
                if pid == 0:
                    os.close(writer)
                    near.close()
                    self._become_worker(number, far, reader)
            finally:
                os.close(reader)
                far.close()
        now = monotonic()
        return _Running(pid, near, writer, ReportSender(writer), started_at=now, alive_at=now)

    def _become_worker(self, number: int, link: Link, reports_fd: int) -> NoReturn:
        """Never return to the master's code, whatever happens."""
        status = 1
        try:
            self._outside.signals.abandon()
            if self._outside.caller is not None:
                self._outside.caller.close()
            for sibling in self._running():
                # While anybody holds these, a sibling would not notice the master's end.
                sibling.close()
            interval_s = self._outside.notifier.sign_interval_s
            worker = WorkerProcess(number, link, reports_fd, self._outside.title, interval_s)
            worker.run(self._config, self._sites)
            status = 0
        except BaseException:
            _log.critical("worker[%d] failed", number, exc_info=True)
        finally:
            os._exit(status)

    def _reap(self) -> None:
        for place in self._places:
            if place.running is None:
                continue
            pid, status = os.waitpid(place.running.pid, os.WNOHANG)
            if pid:
                self._bury(place, place.running, os.waitstatus_to_exitcode(status))

    def _bury(self, place: _Place, running: _Running, code: int) -> None:
        if code or not self._is_stopping:
            _log.info("worker[%d] PID:%d died: it %s", place.number, running.pid, how(code))
        if running.link in self._selector.get_map():
            self._selector.unregister(running.link)
        running.close()
        place.running = None
        place.failures = place.failures + 1 if code > 0 and not running.is_ready else 0
        if place.failures and not self._is_announced and not self._is_stopping:
            # Nobody is served yet: whoever starts us, or is to be replaced, should know.
            self._obstacle = f"worker[{place.number}] cannot start: it {how(code)}"
            self._stop()
        if not self._is_stopping:
            place.due_at = max(monotonic(), running.started_at + place.pause_s())
        self._pass_on_wants()

    # What workers say.

    def _listen(self, place: _Place) -> None:
        running = place.running
        if running is None:
            return
        for kind, content in running.link.receive():
            self._hear(running, kind, content)
        if running.link.is_over:
            # It will be told to us as a child that has ended, too.
            self._selector.unregister(running.link)

    def _hear(self, running: _Running, kind: Kind, content: bytes) -> None:
        running.alive_at = monotonic()
        if kind is Kind.READY:
            running.is_ready = True
            self._go_on_starting()
        elif kind is Kind.SHUTDOWN:
            self._stop()
        elif kind is Kind.CLIENTS:
            running.clients = int(content)
            if self._is_stopping:
                left = sum(each.clients for each in self._running())
                self._outside.notifier.draining(left)
        elif kind is Kind.WANT:
            running.wants_reports = decode_wanted(content)
            self._pass_on_wants()
        elif kind is Kind.REPORT:
            self._pass_on_reports(running, content)

    def _go_on_starting(self) -> None:
        if self._is_announced or self._is_stopping:
            return
        for place in self._places:
            if place.running is None and place.due_at is None:
                place.due_at = monotonic()
        if all(place.running and place.running.is_ready for place in self._places):
            self._is_announced = True
            self._outside.announce_ready()

    def _pass_on_reports(self, source: _Running, content: bytes) -> None:
        for report in ReportReader().feed(content):
            for other in self._running():
                if other is not source:
                    # One that has ended is about to be replaced.
                    with contextlib.suppress(OSError):
                        other.reports.send(report)

    def _pass_on_wants(self) -> None:
        measuring = self._places[0].running
        if measuring is not None:
            others = (each for each in self._running() if each is not measuring)
            wanted = any(each.wants_reports for each in others)
            measuring.link.send(Kind.WANT, encode_wanted(wanted))

    # Stopping and signs of life.

    def _stop(self) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        self._outside.announce_stopping()
        for site in self._sites:
            site.close_listeners()
        for place in self._places:
            place.due_at = None
        nobody_goes_on = self._outside.upgrade.successor is None
        for running in self._running():
            if nobody_goes_on:
                running.link.send(Kind.LAST_CALL)
            os.kill(running.pid, signal.SIGQUIT)
        if self._config.stop_timeout_s is not None:
            # They have the same time-out, and say themselves what they give up.
            self._give_up_at = monotonic() + self._config.stop_timeout_s + _LEAVE_BEHIND_S

    def _leave_behind(self) -> None:
        """Go without the workers that cannot end, since a disk does not let them."""
        for place in self._places:
            if place.running is not None:
                _log.error(
                    "worker[%d] PID:%d does not end, and is left behind",
                    place.number,
                    place.running.pid,
                )
                # It ends as soon as it can.
                os.kill(place.running.pid, signal.SIGKILL)

    def _show_life(self) -> None:
        """Send a sign of life, unless some worker has not sent one for too long."""
        interval_s = self._outside.notifier.sign_interval_s
        if interval_s is None or self._signs is None or not self._signs.is_due():
            return
        oldest = monotonic() - _SIGNS_MISSED * interval_s
        if all(running.alive_at >= oldest for running in self._running()):
            self._outside.notifier.sign_of_life()
