"""Let threads that run given code wait between two of its operations, at random.

Each operation of the interpreter, between which any other thread may come even under the
interpreter lock, is traced. After a random number of them a thread lets others run: mostly it
gives up its turn, sometimes it sleeps for as long as others need for a whole step.

Imports the standard library only: nodes run this file's text before the program.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from types import FrameType
from typing import Any

# Most waits only give up the turn; one in so many sleeps, for up to so many seconds.
_SLEEP_EACH = 16
_LONGEST_S = 0.002
_SHORT_SWITCH_S = 1e-6


class Yielder:
    """A trace function for code in files in `folders`.

    A thread waits after `distance` operations on average.

    **Threads:** any; each has a count and a random sequence of its own.
    """

    def __init__(self, folders: tuple[str, ...], distance: int, seed: int) -> None:
        self._folders = folders
        self._distance = distance
        self._seed = seed
        self._own = threading.local()
        self._is_wanted: dict[str, bool] = {}

    def install(self) -> None:
        """Trace this thread and all that are started from now on."""
        sys.setswitchinterval(_SHORT_SWITCH_S)
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def trace(self, frame: FrameType, _event: str, _argument: object) -> Any:
        """Choose the frames to trace."""
        name = frame.f_code.co_filename
        wanted = self._is_wanted.get(name)
        if wanted is None:
            wanted = self._is_wanted[name] = name.startswith(self._folders)
        if not wanted:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._trace_operation

    def _trace_operation(self, _frame: FrameType, event: str, _argument: object) -> Any:
        if event == "opcode":
            own = self._own
            try:
                own.left -= 1
            except AttributeError:
                own.random = random.Random(f"{self._seed} {threading.current_thread().name}")
                own.left = own.random.randrange(2 * self._distance)
            if own.left <= 0:
                own.left = own.random.randrange(1, 2 * self._distance)
                sleeps = own.random.randrange(_SLEEP_EACH) == 0
                time.sleep(own.random.random() * _LONGEST_S if sleeps else 0)
        return self._trace_operation
