"""What goes wrong with a machine, and what to do next about it."""

from __future__ import annotations


class VMError(Exception):
    """A step failed. The message says what, `advice` says what to do next."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice
