"""What `ps` shows of this process: its command line, and its part or state before it.

The command line itself stays readable at the end, whatever is put in front. A master and a
single process show nothing but their command line while they serve, since service managers
look for it.
"""

from __future__ import annotations

import os
import sys

import setproctitle

_NAME = "mogstored"
_STOPPING = "shutting down"


class Title:
    """The title of this process; `prepare` it before there are threads.

    Making room for a title moves the environment to another place in memory, which must
    not happen under the eyes of another thread.
    """

    def __init__(self, command_line: str, part: str = "") -> None:
        self._command_line = command_line
        self._part = part

    @classmethod
    def prepare(cls) -> Title:
        """Make room for titles, and keep the command line that is shown now."""
        try:
            return cls(setproctitle.getproctitle())
        except UnicodeDecodeError:
            # Names of files are bytes, and titles are text. Room has been made by now.
            words = os.fsencode(" ".join(sys.orig_argv))
            return cls(words.decode("utf-8", "replace"))

    def show_part(self, part: str) -> None:
        """Name the part that this process plays from now on, as `worker[0]`."""
        self._part = part
        self._show(part)

    def show_stopping(self) -> None:
        self._show(f"{self._part} {_STOPPING}".lstrip())

    def _show(self, state: str) -> None:
        setproctitle.setproctitle(f"{_NAME}: {state}: {self._command_line}")
