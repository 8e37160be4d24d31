"""Steps on the terminal, and the progress of long ones. On a pipe: whole lines, and few."""

from __future__ import annotations

import sys
import time

_ON_TERMINAL_S = 0.2
_ON_PIPE_S = 30.0


def step(machine: str, what: str) -> None:
    print(f"==> {machine}: {what}", flush=True)


class Progress:
    """The progress of one long step; `update` is cheap, and shows a line now and then."""

    def __init__(self, machine: str) -> None:
        self._prefix = f"    {machine}: "
        self._terminal = sys.stdout.isatty()
        self._began = self._shown = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def update(self, text: str) -> None:
        now = time.monotonic()
        if now - self._shown < (_ON_TERMINAL_S if self._terminal else _ON_PIPE_S):
            return
        self._shown = now
        line = f"{self._prefix}{text} ({self.seconds:.0f} s)"
        print(f"\r\x1b[K{line}" if self._terminal else line, end="" if self._terminal else "\n")
        sys.stdout.flush()

    def end(self, text: str) -> None:
        clear = "\r\x1b[K" if self._terminal else ""
        print(f"{clear}{self._prefix}{text} ({self.seconds:.0f} s)", flush=True)
