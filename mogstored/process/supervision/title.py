"""The process title that `ps` shows: the program, the role or state, and the command line.

The kernel's name of the process (`comm` of proc(5)) is what pgrep -x, pidof, killall and exporters
match. It stays the program's; setproctitle alone would set it to the first 15 bytes of the title.

The command line stays readable at the end of each title. A master and a single process show
nothing else while they serve, because service managers match it.
"""

from __future__ import annotations

import os
import sys

import setproctitle

_NAME = "mogstored"
_STOPPING = "shutting down"


class Title:
    """The title of this process.

    **Threads:** the main one; `prepare` before there are others, because it moves the environment
    in memory to make room for titles.
    """

    def __init__(self, name: str, command_line: str) -> None:
        self._name = name
        self._command_line = command_line
        self._role = ""
        self._keep_name()

    @classmethod
    def prepare(cls, name: str) -> Title:
        """Make room for titles, remember the command line, and set the name of the process."""
        try:
            return cls(name, setproctitle.getproctitle())
        except UnicodeDecodeError:
            # File names are bytes, titles are text. The room has been made all the same.
            words = os.fsencode(" ".join(sys.orig_argv))
            return cls(name, words.decode("utf-8", "replace"))

    def show_role(self, role: str, name: str | None = None) -> None:
        """Show the role of this process from now on, such as `worker[0]`.

        `name` is the kernel's name of the process, if not the program's.
        """
        self._role = role
        self._name = name or self._name
        self._show(role)

    def show_stopping(self) -> None:
        self._show(f"{self._role} {_STOPPING}".lstrip())

    def _show(self, state: str) -> None:
        setproctitle.setproctitle(f"{_NAME}: {state}: {self._command_line}")
        self._keep_name()

    def _keep_name(self) -> None:
        # Names the calling thread, which is the main one; threads inherit the name.
        setproctitle.setthreadtitle(self._name)
