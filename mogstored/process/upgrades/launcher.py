"""A small process that starts the next program on request, and reports how it ends.

A serving process cannot do that itself. On the way to exec its child closes all inherited files,
close-on-exec or not, and closing a file on a hung disk may block for ever: the child neither
executes the program nor ends, and `subprocess`, or a `vfork`, waits for it. So the launcher is
forked before the node has threads and opens files on disks. It has only its channel to the node
open, and receives the listening sockets with each request. It waits in one `poll`, ignores all
signals, and ends with the node.

Requests are single bytes, sent with descriptors: `+` more descriptors follow, `!` start the
program with all of them, `x` kill processes that have not executed the program yet. Answers are
lines of a word and numbers.

In a node that is a single process, it also forks the admin process (`a`), for the same reasons: it
can do so again when that one has died.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from mogpoll.system.hangups import hung_up
from mogpoll.threads import signals_blocked
from mogstored.children import describe_exit, forget_child, note_child
from mogstored.process.admin.child import AdminProgram
from mogstored.process.signals import SignalQueue
from mogstored.process.supervision.title import Title
from mogstored.process.upgrades.invocation import Invocation
from mogstored.rlimits import close_all_but

STARTED, FAILED, ENDED = "started", "failed", "ended"

_MORE, _START, _KILL, _ADMIN = b"+", b"!", b"x", b"a"
_ADMIN_ENDED = "admin-ended"
# Fewer than any system allows in one message (SCM_MAX_FD of Linux is 253).
_MAX_FDS = 100
_NAME = "mogstored-start"
_ERROR_BYTES = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """The fate of a process: `STARTED`, `FAILED` with an errno, `ENDED` with an exit code."""

    word: str
    pid: int
    number: int = 0


class Launcher:
    """The node's side.

    **Threads:** the main one; `start` while there are no others.
    """

    def __init__(
        self,
        invocation: Invocation,
        signals: SignalQueue,
        title: Title,
        admin: AdminProgram | None = None,
    ) -> None:
        self.invocation = invocation
        self._admin = admin
        self._admin_end: str | None = None
        self._signals = signals
        self._title = title
        self._sock: socket.socket | None = None
        self._pid = 0
        self._unreaped: list[int] = []
        self._received = b""

    @property
    def is_running(self) -> bool:
        return self._sock is not None

    def start(self) -> None:
        """Fork the process, unless it is running.

        **Raises:** `OSError`.
        """
        if self._sock is not None:
            return
        self.reap()
        near, far = socket.socketpair()
        with signals_blocked():
            try:
                pid = os.fork()
            except OSError:
                near.close()
                far.close()
                raise
            if pid == 0:
                self._serve(far)
        far.close()
        near.setblocking(False)
        note_child(pid)
        self._unreaped.append(pid)
        self._pid, self._sock, self._received = pid, near, b""

    def request(self, listener_fds: Sequence[int]) -> None:
        """Request a start of the program with these listening sockets.

        **Raises:** `OSError`.
        """
        self._send(_START, listener_fds)

    def start_admin(self, fds: Sequence[int]) -> None:
        """Request a fork of the admin process: its control channel, and its listening sockets.

        **Raises:** `OSError`.
        """
        self._admin_end = None
        self._send(_ADMIN, fds)

    def take_admin_end(self) -> str | None:
        """Return, once, how the admin process ended, as far as `answers` has been called."""
        end, self._admin_end = self._admin_end, None
        return end

    def _send(self, word: bytes, fds: Sequence[int]) -> None:
        if self._sock is None:
            raise BrokenPipeError("the launcher process has ended; restart the node instead")
        for at in range(0, len(fds), _MAX_FDS):
            end = at + _MAX_FDS
            socket.send_fds(self._sock, [_MORE if end < len(fds) else word], fds[at:end])

    def kill_unstarted(self) -> None:
        """Kill a process that has not executed the program by now."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.send(_KILL)

    def answers(self) -> Iterator[Answer]:
        """Return the answers received since the last call."""
        while self._sock is not None:
            try:
                data = self._sock.recv(4096)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self._received += data
            if not data:
                self.abandon()
        self.reap()
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            word, *numbers = line.decode().split()
            if word == _ADMIN_ENDED:
                self._admin_end = describe_exit(int(numbers[0]))
                continue
            yield Answer(word, *map(int, numbers))

    def await_answer(self, timeout_s: float) -> None:
        """Wait until `answers` has something to return."""
        if self._sock is not None:
            room = select.poll()
            room.register(self._sock, select.POLLIN)
            # poll waits without limit if the time is negative.
            room.poll(max(0.0, timeout_s) * 1000)

    def abandon(self) -> None:
        """Close the channel, and so end the process.

        Forked children close it too: the process stays while one copy is open.
        """
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def end(self, timeout_s: float) -> None:
        """End the process, and wait so long until its children have another parent."""
        if self._sock is None:
            return
        # Unlike a close, it reaches the process while forked children hold copies.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        if hung_up([self._sock.fileno()], timeout_s):
            # Its files are closed, so nothing can keep it from its end.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
        self.abandon()

    def reap(self) -> None:
        """Reap the processes that have ended: one may still run when the next is forked."""
        for pid in self._unreaped.copy():
            with contextlib.suppress(ChildProcessError):
                if not os.waitpid(pid, os.WNOHANG)[0]:
                    continue
            forget_child(pid)
            self._unreaped.remove(pid)

    def _serve(self, sock: socket.socket) -> NoReturn:
        """Run the launcher in the forked child; never return to the node's code."""
        try:
            wake_fd = self._signals.disown()
            close_all_but(sock.fileno(), wake_fd)
            # Keeps memory shared with the node: the collector would write to it.
            gc.freeze()
            gc.disable()
            self._title.show_role("launcher", name=_NAME)
            _Server(self.invocation, sock, wake_fd, self._admin).run()
        finally:
            os._exit(0)


class _Server:
    """The launcher's side: a single thread, and no open file that could hang."""

    def __init__(
        self,
        invocation: Invocation,
        sock: socket.socket,
        wake_fd: int,
        admin: AdminProgram | None,
    ) -> None:
        self._invocation = invocation
        self._admin = admin
        self._admin_pid = 0
        self._sock = sock
        self._wake_fd = wake_fd
        self._signals = SignalQueue()
        self._fds: list[int] = []
        self._waiting = select.poll()
        self._unstarted: dict[int, int] = {}
        """The process for each pipe that its exec will close."""

    def run(self) -> None:
        """Return when the node has ended."""
        self._waiting.register(self._signals, select.POLLIN)
        self._waiting.register(self._sock, select.POLLIN)
        is_over = False
        try:
            while not is_over:
                for fd, _ in self._waiting.poll():
                    if fd == self._sock.fileno():
                        is_over = not self._take_request()
                    elif fd in self._unstarted:
                        self._report_outcome(fd)
                self._signals.receive()
                self._reap()
        finally:
            # Also after ECONNRESET: the node has ended without reading an answer.
            self._kill_unstarted()

    def _take_request(self) -> bool:
        """Return False when the node has ended."""
        request, fds, _, _ = socket.recv_fds(self._sock, 1, _MAX_FDS)
        self._fds += fds
        if request in (_START, _ADMIN):
            if request == _START:
                self._start()
            else:
                self._start_admin()
            for fd in self._fds:
                os.close(fd)
            self._fds = []
        elif request == _KILL:
            self._kill_unstarted()
        return bool(request)

    def _start(self) -> None:
        try:
            pipe_fd, pid = self._fork()
        except OSError as error:
            self._answer(FAILED, 0, error.errno)
            return
        self._unstarted[pipe_fd] = pid
        self._waiting.register(pipe_fd, select.POLLIN)

    def _start_admin(self) -> None:
        try:
            with signals_blocked():
                self._admin_pid = os.fork()
                if self._admin_pid == 0:
                    self._become_admin()
        except OSError:
            # As if it had died at once: it is tried again.
            self._answer(_ADMIN_ENDED, 1)

    def _become_admin(self) -> NoReturn:
        try:
            control, *listeners = (socket.socket(fileno=fd) for fd in self._fds)
            if self._admin is not None:
                self._admin.run(control, listeners)
        finally:
            os._exit(1)

    def _fork(self) -> tuple[int, int]:
        """Return the pipe that the exec will close, and the PID."""
        reader, writer = os.pipe()
        try:
            # Until the child's exec, its signals would arrive in this process's queue.
            with signals_blocked():
                pid = os.fork()
                if pid == 0:
                    self._execute(writer)
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return reader, pid

    def _execute(self, error_fd: int) -> NoReturn:
        try:
            self._signals.abandon()
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            self._invocation.execute(self._fds)
        except OSError as error:
            os.write(error_fd, b"%d" % (error.errno or 0))
        finally:
            os._exit(127)

    def _report_outcome(self, pipe_fd: int) -> None:
        pid = self._unstarted.pop(pipe_fd)
        self._waiting.unregister(pipe_fd)
        error = os.read(pipe_fd, _ERROR_BYTES)
        os.close(pipe_fd)
        if error:
            self._answer(FAILED, pid, int(error))
        else:
            self._answer(STARTED, pid)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid == self._admin_pid:
                    self._answer(_ADMIN_ENDED, os.waitstatus_to_exitcode(status))
                    continue
                for pipe_fd in [fd for fd, each in self._unstarted.items() if each == pid]:
                    self._report_outcome(pipe_fd)
                self._answer(ENDED, pid, os.waitstatus_to_exitcode(status))

    def _kill_unstarted(self) -> None:
        """Kill them, and report no more than their end: the node has given them up."""
        for pipe_fd, pid in self._unstarted.items():
            os.kill(pid, signal.SIGKILL)
            self._waiting.unregister(pipe_fd)
            os.close(pipe_fd)
        self._unstarted.clear()

    def _answer(self, *words: object) -> None:
        # Answers are few and short: there is room, unless the node has stopped reading.
        with contextlib.suppress(OSError):
            line = " ".join(map(str, words)) + "\n"
            self._sock.send(line.encode(), socket.MSG_DONTWAIT)
        with contextlib.suppress(OSError):
            os.write(self._wake_fd, b"\0")
