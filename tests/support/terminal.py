"""A program on a terminal of its own: keys in, a screen out."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any, Self

import psutil
import pyte

from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The child leads a session: the terminal becomes its own, so that Ctrl-C reaches it as a signal.
_CONTROL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
_RUN = "\nimport runpy; runpy.run_module('mogstored', run_name='__main__', alter_sys=True)"


class Terminal:
    """A run of mogstored on a terminal, as an emulator shows it.

    `injected` is code that the process runs first. `screen` are the lines as they are now, and
    `sent` is all that the program has written.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 24,
        env: dict[str, str] | None = None,
        injected: str = "",
    ) -> None:
        self._arguments = [sys.executable, "-P", "-c", _CONTROL + injected + _RUN, *arguments]
        self._env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})}
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.sent = b""

    def __enter__(self) -> Self:
        self._master, self._slave = os.openpty()
        self._set_size()
        self.mode_before = self.mode
        self._process = subprocess.Popen(
            self._arguments,
            cwd="/",
            env=self._env,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._slave)
        os.close(self._master)

    @property
    def mode(self) -> list[Any]:
        """The terminal's settings, but for its size."""
        return termios.tcgetattr(self._slave)

    @property
    def lines(self) -> list[str]:
        """The screen, without blanks at the ends of lines."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def is_stopped(self) -> bool:
        """Whether the process is stopped, as by Ctrl-Z."""
        return bool(psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED)

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        self._process.send_signal(number)

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size; the kernel sends SIGWINCH."""
        self._screen.resize(rows, columns)
        self._set_size()

    def wait_for(self, claim: Callable[[list[str]], object], what: str) -> list[str]:
        """Return the lines of the screen once the claim holds for them."""
        deadline = time.monotonic() + PATIENCE_S
        while not claim(self.lines):
            if time.monotonic() > deadline:
                shown = "\n".join(self.lines)
                raise AssertionError(f"not within {PATIENCE_S} s: {what}\n{shown}")
            self.read()
        return self.lines

    def wait_for_text(self, text: str) -> list[str]:
        """Return the lines once one of them has this text."""
        return self.wait_for(lambda lines: any(text in line for line in lines), text)

    def wait(self) -> int:
        """Return the exit status of a process that is ending."""

        def has_ended() -> bool:
            # It waits for the terminal to take all that it wrote.
            self.read()
            return self._process.poll() is not None

        wait_until(has_ended, "the program ends")
        self.read()
        return self._process.wait()

    def read(self) -> None:
        """Take what was written meanwhile."""
        while select.select([self._master], [], [], 0.02)[0]:
            data = os.read(self._master, 65536)
            self.sent += data
            self._stream.feed(data)

    def _set_size(self) -> None:
        size = struct.pack("HHHH", self._screen.lines, self._screen.columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
