"""Run iostat, or a command in its place, again and again, and pass its reports on.

iostat prints a number of reports and then ends, so that it sees new disks when it is started
again (n43). It runs in a process group of its own: the command may be a pipeline, and the
interrupt key is for the node alone.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from functools import partial

from mogpoll.threads import start_thread
from mogstored.children import describe_exit, forget_child, start_child
from mogstored.log.printable import reason
from mogstored.utilization.iostat_parser import IostatParser
from mogstored.utilization.report import FirstFault, OnReport, pass_on

_log = logging.getLogger("mogstored")

RETRY_S = 10.0
# From the leave of the last watcher to the end of iostat.
IDLE_S = 60.0
# Pause after a command that prints nothing and exits with 0.
_FRUITLESS_S = 1.0
# From SIGTERM to SIGKILL.
_END_S = 2.0
_PIECE = 65536

# Python ignores these, and a child would inherit that (n41).
_RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)


class IostatFeed:
    """See `mogstored.utilization.report.UtilizationFeed`.

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
        self._complain = FirstFault()
        self._thread: threading.Thread | None = None

    def start(self, on_report: OnReport) -> None:
        self._thread = start_thread(partial(self._run, on_report), "iostat", lasting=True)

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
            # A process outside the group may still hold the pipe; the thread is left then.
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
        """Sleep until reports are wanted; False when the feed stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._stopped)
            return not self._stopped

    def _run_once(self, on_report: OnReport) -> float:
        """Run the command to its end; return the pause before the next run, in seconds."""
        try:
            fd = self._spawn()
        except OSError as error:
            _log.warning("cannot start iostat (%s): %s", self._command, reason(error))
            return self._fail(on_report)
        if fd is None:
            return 0.0
        try:
            fruitful = self._read(fd, on_report)
        finally:
            os.close(fd)
        pid, status = self._reap()
        if status == 0 and not (fruitful or self._dismissed or self._stopped):
            self._complain("iostat: it ended without a report")
        if status == 0 or self._dismissed or self._stopped:
            return 0.0 if fruitful else min(_FRUITLESS_S, self._retry_s)
        _log.warning("iostat (PID %d) %s", pid, describe_exit(status))
        return self._fail(on_report)

    def _fail(self, on_report: OnReport) -> float:
        """Report that nothing is known; return the pause before the next run.

        A stream without blocks looks dead to a watcher.
        """
        pass_on(on_report, {})
        return self._retry_s

    def _spawn(self) -> int | None:
        """Start the command; return the read end of its output, None when the feed stops."""
        read_fd, write_fd = os.pipe()
        try:
            with self._changed:
                if self._stopped:
                    os.close(read_fd)
                    return None
                self._dismissed = False
            # Without the lock: on the way to exec, the child closes its copies of this process's
            # files, which a hung disk may never let it do. Then only this thread hangs.
            pid = start_child(partial(spawn_shell, self._command, write_fd))
        except BaseException:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)
        self._note_started(pid)
        return read_fd

    def _note_started(self, pid: int) -> None:
        with self._changed:
            self._pid = pid
            if self._stopped:
                # `stop` came in between.
                self._signal(signal.SIGTERM)

    def _read(self, fd: int, on_report: OnReport) -> bool:
        """Pass on all reports; say whether there were any."""
        parser = IostatParser()
        fruitful = False
        while piece := os.read(fd, _PIECE):
            for report in parser.feed(piece):
                fruitful = True
                if self._stopped:
                    break
                pass_on(on_report, report)
            if parser.odd_line is not None:
                self._complain(f"iostat: a line is not understood: {parser.odd_line}")
            self._dismiss_idle()
        return fruitful

    def _dismiss_idle(self) -> None:
        """End the process when no report was wanted for `idle_s`."""
        with self._changed:
            idle = not self._wanted and time.monotonic() - self._unwanted_since >= self._idle_s
            if idle and not self._dismissed:
                self._dismissed = True
                self._signal(signal.SIGTERM)

    def _reap(self) -> tuple[int, int]:
        """Wait for the end of the process; return its PID and exit code."""
        pid = self._pid
        assert pid is not None
        try:
            # Not reaped yet: until `_pid` is cleared, the PID must stay its own.
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass
        with self._changed:
            self._pid = None
            try:
                _, status = os.waitpid(pid, 0)
            except ChildProcessError:
                # Reaped elsewhere.
                return pid, 0
            finally:
                forget_child(pid)
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
    """Start a shell command in a process group of its own; return its PID.

    No Python code runs between fork and exec: other threads may hold any lock. The signal
    mask of the calling thread is not passed on.

    **Raises:** `OSError` when there is no shell.
    """
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", f"exec {command}"],
        # No decimal commas, no a.m. and p.m., and no colours of sysstat, which a wrapper may
        # switch on.
        {**os.environ, "LC_ALL": "C", "S_COLORS": "never"},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, stdout_fd, 1),
        ],
        setpgroup=0,
        setsigmask=(),
        setsigdef=_RESET_SIGNALS,
    )
