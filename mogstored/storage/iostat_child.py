"""Run iostat, or what stands in for it, again and again, and pass its reports on.

iostat is told to print so many reports and then ends, so that it sees new disks when it is
started again. It runs in a process group of its own: the command may be a pipeline, and an
interrupt key is meant for the node alone.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

from mogpoll.stopping import signals_blocked
from mogstored.storage.iostat import IostatParser
from mogstored.storage.report import OnReport, pass_on

_log = logging.getLogger("mogstored")

RETRY_S = 10.0
# Between the last watcher's leaving and the end of iostat.
IDLE_S = 60.0
# Keeps a command that prints nothing and is content with it from running all the time.
_FRUITLESS_S = 1.0
# How long an iostat that was told to end may take, before it is killed.
_END_S = 2.0
_PIECE = 65536

# Python ignores these, and a child would go on ignoring them.
_RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)


class IostatFeed:
    """See `mogstored.storage.report.UtilizationFeed`.

    **Threads:** `_changed` guards `_wanted`, `_unwanted_since`, `_stopped` and `_pid`, which
    is set as long as the process may be signalled: until it is reaped.
    """

    def __init__(self, command: str, *, retry_s: float = RETRY_S, idle_s: float = IDLE_S) -> None:
        self._command = command
        self._retry_s = retry_s
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._wanted = False
        self._unwanted_since = time.monotonic()
        self._stopped = False
        self._pid: int | None = None
        self._dismissed = False
        self._thread: threading.Thread | None = None

    def start(self, on_report: OnReport) -> None:
        self._thread = threading.Thread(
            target=self._run, args=(on_report,), name="iostat", daemon=True
        )
        with signals_blocked():
            self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            self._signal(signal.SIGTERM)
        if self._thread is None:
            return
        self._thread.join(_END_S)
        if self._thread.is_alive():
            with self._changed:
                self._signal(signal.SIGKILL)
            # Somebody outside the group may still hold the pipe: then the thread is left.
            self._thread.join(_END_S)

    def want(self, wanted: bool) -> None:
        with self._changed:
            if self._wanted and not wanted:
                self._unwanted_since = time.monotonic()
            self._wanted = wanted
            self._changed.notify_all()

    def _run(self, on_report: OnReport) -> None:
        while self._await_watchers():
            pause_s = self._run_once(on_report)
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, pause_s)

    def _await_watchers(self) -> bool:
        """Sleep until somebody watches; False when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._stopped)
            return not self._stopped

    def _run_once(self, on_report: OnReport) -> float:
        """Run the command to its end; return for how long not to start it again."""
        try:
            fd = self._spawn()
        except OSError as error:
            _log.warning("cannot start iostat (%s): %s", self._command, error.strerror)
            return self._fail(on_report)
        if fd is None:
            return 0.0
        try:
            fruitful = self._read(fd, on_report)
        finally:
            os.close(fd)
        pid, status = self._reap()
        if status == 0 or self._dismissed or self._stopped:
            return 0.0 if fruitful else min(_FRUITLESS_S, self._retry_s)
        _log.warning("iostat (PID %d) %s", pid, describe_status(status))
        return self._fail(on_report)

    def _fail(self, on_report: OnReport) -> float:
        """Say that nothing is known, and return when to try again.

        A stream without any block looks dead to who watches it.
        """
        pass_on(on_report, {})
        return self._retry_s

    def _spawn(self) -> int | None:
        """Start the command; return what it writes to, or None when it is too late."""
        read_fd, write_fd = os.pipe()
        try:
            with self._changed:
                if self._stopped:
                    os.close(read_fd)
                    return None
                self._dismissed = False
                self._pid = spawn_shell(self._command, write_fd)
        except BaseException:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)
        return read_fd

    def _read(self, fd: int, on_report: OnReport) -> bool:
        """Pass on all reports that arrive; say whether there were any."""
        parser = IostatParser()
        fruitful = False
        while piece := os.read(fd, _PIECE):
            for report in parser.feed(piece):
                fruitful = True
                if self._stopped:
                    break
                pass_on(on_report, report)
            self._dismiss_idle()
        return fruitful

    def _dismiss_idle(self) -> None:
        """Let the process go when nobody has watched for a while."""
        with self._changed:
            idle = not self._wanted and time.monotonic() - self._unwanted_since >= self._idle_s
            if idle and not self._dismissed:
                self._dismissed = True
                self._signal(signal.SIGTERM)

    def _reap(self) -> tuple[int, int]:
        """Wait for the end of the process; return its number and exit code."""
        pid = self._pid
        assert pid is not None
        try:
            # Not reaped yet: until `_pid` is cleared, the number must stay its own.
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass
        with self._changed:
            self._pid = None
            try:
                _, status = os.waitpid(pid, 0)
            except ChildProcessError:
                # Somebody else has reaped it.
                return pid, 0
        return pid, os.waitstatus_to_exitcode(status)

    def _signal(self, number: int) -> None:
        """Signal all processes of the command; the caller holds `_changed`."""
        if self._pid is None:
            return
        try:
            os.killpg(self._pid, number)
        except (ProcessLookupError, PermissionError):
            # Gone but not reaped; FreeBSD and macOS say EPERM for a group of zombies.
            pass


def spawn_shell(command: str, stdout_fd: int) -> int:
    """Start a shell command in a process group of its own; return its process number.

    No Python code runs between fork and exec: other threads may hold any lock. The signal
    mask of the calling thread is not passed on.

    **Raises:** `OSError` when there is no shell.
    """
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", f"exec {command}"],
        # Decimal commas and clocks with a.m. and p.m. otherwise.
        {**os.environ, "LC_ALL": "C"},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, stdout_fd, 1),
        ],
        setpgroup=0,
        setsigmask=(),
        setsigdef=_RESET_SIGNALS,
    )


def describe_status(code: int) -> str:
    """Say how a process ended, given its code as `subprocess` has it."""
    if code >= 0:
        return f"ended with status {code}"
    return f"was ended by signal {-code}"
