"""The admin process: one thread, one poller, and no file that could hang.

Each request that needs it starts a round: all serving processes are asked for their counters, and
when they have answered, or half a second later, a view of the node is made. Requests that come
meanwhile share the next round. It ends when the leading process has ended.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
from collections.abc import Sequence
from time import monotonic

from mogpoll.system.memory import release_free_memory
from mogpoll.system.timeouts import next_wait
from mogpoll.threads import RareLog
from mogstored.admin.control import ControlReader, NodeFacts, ServingProcess
from mogstored.admin.http.message import Request
from mogstored.admin.http.session import Session, Want
from mogstored.admin.shared_record import SharedRecord
from mogstored.admin.site import PAGE, STATUS, Site
from mogstored.admin.sources import Channel, Sources
from mogstored.admin.view import History, NodeView, look
from mogstored.config.values.networks import parse_line
from mogstored.connections.access import ADMIN, Gate, access_list
from mogstored.log.bounded_writer import BoundedWriter, FlushResult
from mogstored.log.handlers import set_level
from mogstored.log.printable import reason

_log = logging.getLogger("mogstored")
# What has failed once may do so at each turn.
_failures = RareLog()

# How long a serving process may take to answer.
ROUND_S = 0.5
# Between the beginnings of rounds: bounds what requests cost the serving processes.
_MIN_INTERVAL_S = 0.1
# Clients at a time. Then the one that has been idle for longest goes, if there is one.
MAX_SESSIONS = 128
# Connections that are accepted at once.
_BURST = 16
# Descriptors or memory ran out.
_PRESSURE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PRESSURE_PAUSE_S = 0.1
# Utilization is sampled each second for so long after somebody has looked at the page.
_WATCHED_S = 60.0
_SAMPLE_S = 1.0
# After another node has taken over, idle clients stay for so long: a request may be on its way.
CROSSING_S = 1.0
# Between attempts to write log lines to a slow reader.
_FLUSH_INTERVAL_S = 0.5

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_EVENTS = {Want.READ: _READ, Want.WRITE: _WRITE}


class AdminProcess:
    """Created in the new process, whose only thread uses it."""

    def __init__(
        self,
        control: socket.socket,
        listeners: Sequence[socket.socket],
        log: BoundedWriter,
        record: SharedRecord | None = None,
    ) -> None:
        self._log = log
        self._log_due_at: float | None = None
        log.on_pending = self._flush_later
        self._selector = selectors.DefaultSelector()
        self._control = ControlReader(control)
        self._selector.register(self._control, _READ, self._hear)
        self._listeners = list(listeners)
        self._accepts = False
        self._accept_again_at = 0.0
        self._facts: NodeFacts | None = None
        self._gate = Gate(ADMIN)
        self._sources = Sources(record)
        self.sessions: dict[Session, int] = {}
        """The events that each is registered for; 0 for none. Idle for longest first."""
        self._site = Site()
        self._history = History()
        self._waiting: list[tuple[Session, Request]] = []
        """Requests for the next round."""
        self._asked: list[tuple[Session, Request]] = []
        """Requests of the round under way."""
        self._round_until: float | None = None
        self._next_round_at = 0.0
        self._watched_until = 0.0
        self._sample_at = 0.0

    def run(self) -> None:
        """Answer until the leading process has ended."""
        for listener in self._listeners:
            listener.setblocking(False)
        try:
            while not self._control.is_over:
                self._accept_or_not()
                for key, _ in self._selector.select(self._timeout_s()):
                    try:
                        key.data()
                    except Exception:
                        _failures.error("the admin process failed; it goes on", with_reason=True)
                self._act_on_time()
        finally:
            self._release()

    def _release(self) -> None:
        for listener in self._listeners:
            listener.close()
        for session in self.sessions:
            session.close()
        for channel in self._sources.channels:
            channel.close()
        # The control channel stays open: its end shows that this process has ended.
        self._selector.close()

    # Accepting.

    def _accept_or_not(self) -> None:
        is_full = self._is_full and self._longest_idle() is None
        # Who may connect is among the facts.
        is_early = self._facts is None or monotonic() < self._accept_again_at
        accepts = not (is_full or is_early)
        if accepts == self._accepts:
            return
        self._accepts = accepts
        for listener in self._listeners:
            if accepts:
                self._selector.register(listener, _READ, lambda it=listener: self._accept(it))
            else:
                self._selector.unregister(listener)

    @property
    def _is_full(self) -> bool:
        return len(self.sessions) >= MAX_SESSIONS

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_BURST):
            if not self._accepts or (self._is_full and self._longest_idle() is None):
                return
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _PRESSURE:
                    # The client was quicker.
                    continue
                if not self._close_longest_idle():
                    _log.error("admin listener: accept failed: %s", reason(error))
                self._accept_again_at = monotonic() + _PRESSURE_PAUSE_S
                return
            if not self._gate.admits(address[0]):
                sock.close()
                continue
            if self._is_full:
                self._close_longest_idle()
            session = Session(sock, self._take)
            self.sessions[session] = 0
            # Most have sent their request.
            self._apply(session, session.step())

    def _longest_idle(self) -> Session | None:
        return next((each for each in self.sessions if each.is_idle), None)

    def _close_longest_idle(self) -> bool:
        session = self._longest_idle()
        if session is not None:
            self._apply(session, Want.CLOSE)
        return session is not None

    def _stop_accepting(self) -> None:
        """Leave new clients to the node that has taken over."""
        if self._accepts:
            for listener in self._listeners:
                self._selector.unregister(listener)
        self._accepts = False
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        last_at = monotonic() + CROSSING_S
        for session in self.sessions:
            session.is_last = True
            if session.is_idle:
                session.deadline = min(session.deadline, last_at)

    # Sessions.

    def _step(self, session: Session) -> None:
        # It may have been closed since its event was received.
        if session in self.sessions:
            self._apply(session, session.step())

    def _apply(self, session: Session, want: Want) -> None:
        """Register the session for what it waits for, or close it."""
        before = self.sessions.pop(session)
        events = _EVENTS.get(want, 0)
        if before and not events:
            self._selector.unregister(session)
        if want is Want.CLOSE:
            session.close()
            return
        # To the end: it was active just now.
        self.sessions[session] = events
        if events and not before:
            self._selector.register(session, events, lambda: self._step(session))
        elif events and events != before:
            self._selector.modify(session, events, lambda: self._step(session))

    def _take(self, session: Session, request: Request) -> None:
        """Answer a request, at once or with a round."""
        session.is_last = not self._listeners
        refusal = self._site.refuse(request)
        if refusal is not None:
            session.answer(refusal)
            return
        if request.path in (PAGE, STATUS):
            self._watched_until = monotonic() + _WATCHED_S
        self._waiting.append((session, request))
        self._begin_round()

    # Rounds.

    def _begin_round(self) -> None:
        if self._round_until is not None or monotonic() < self._next_round_at:
            return
        now = monotonic()
        self._next_round_at = now + _MIN_INTERVAL_S
        self._sample_at = now + _SAMPLE_S
        self._round_until = now + ROUND_S
        self._asked, self._waiting = self._waiting, []
        self._sources.ask()

    def _end_round(self) -> None:
        asked, self._asked = self._asked, []
        self._round_until = None
        if self._facts is None:
            # The first message is under way.
            self._waiting = asked + self._waiting
            return
        view = look(self._facts, self._sources, self._history)
        for session, request in asked:
            if session in self.sessions and session.is_awaiting:
                self._answer(session, request, view)
        del view
        self._site.forget()
        release_free_memory()

    def _answer(self, session: Session, request: Request, view: NodeView) -> None:
        try:
            session.answer(self._site.answer(request, view))
        except Exception:
            _log.exception("cannot answer %s of the admin listener", request.path)
            self._apply(session, Want.CLOSE)
        else:
            self._step(session)

    # The node's side.

    def _hear(self) -> None:
        for message in self._control.receive():
            if isinstance(message, NodeFacts):
                self._facts = message
                self._gate.access = access_list(map(parse_line, message.access), ADMIN)
                set_level(message.log_level)
                if message.is_succeeded and self._listeners:
                    self._stop_accepting()
            else:
                self._introduce(*message)

    def _introduce(self, process: ServingProcess, sock: socket.socket) -> None:
        channel = Channel(process.number, process.pid, sock)
        self._sources.add(channel)
        self._selector.register(channel, _READ, lambda: self._receive(channel))
        if self._round_until is not None:
            channel.ask()

    def _receive(self, channel: Channel) -> None:
        if channel not in self._sources.channels:
            return
        channel.receive()
        if channel.is_over:
            self._selector.unregister(channel)
            self._sources.drop(channel)

    # Time.

    def _act_on_time(self) -> None:
        now = monotonic()
        for session in [each for each in self.sessions if each.deadline <= now]:
            if not session.is_awaiting:
                self._apply(session, session.expire())
        if self._round_until is not None and (
            self._sources.are_complete or now >= self._round_until
        ):
            self._end_round()
        if self._log_due_at is not None and now >= self._log_due_at:
            self._log_due_at = None
            if self._log.flush() is not FlushResult.DONE:
                self._flush_later()
        if self._waiting or (now < self._watched_until and now >= self._sample_at):
            self._begin_round()

    def _flush_later(self) -> None:
        self._log_due_at = monotonic() + _FLUSH_INTERVAL_S

    def _timeout_s(self) -> float | None:
        now = monotonic()
        due = [each.deadline for each in self.sessions if not each.is_awaiting]
        if self._log_due_at is not None:
            due.append(self._log_due_at)
        if self._round_until is not None:
            due.append(self._round_until)
        elif self._waiting:
            due.append(self._next_round_at)
        elif now < self._watched_until:
            due.append(self._sample_at)
        if not self._accepts and self._listeners and now < self._accept_again_at:
            due.append(self._accept_again_at)
        return next_wait(max(0.0, min(due) - now)) if due else None


def run(
    control: socket.socket,
    listeners: Sequence[socket.socket],
    log: BoundedWriter,
    record: SharedRecord | None,
) -> None:
    """Serve the admin listeners in this process until its leader has ended."""
    AdminProcess(control, listeners, log, record).run()
