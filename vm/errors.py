"""The error of a failed step, with advice."""

from __future__ import annotations


class VMError(Exception):
    """A step failed. The message says what, `advice` says what to do next."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice
