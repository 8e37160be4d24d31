"""Refuse threads to a node and its children, from a chosen one on."""

from __future__ import annotations

import os
from pathlib import Path

_HOOK = Path(__file__).parent / "refusing"
_NEVER = 1 << 30


class Refusals:
    """The refusals of all processes that run with `environment`.

    They share `folder`, which is empty at first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lift()

    @property
    def environment(self) -> dict[str, str]:
        path = os.environ.get("PYTHONPATH", "")
        return {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(_HOOK), path])),
            "MOG_TEST_REFUSALS": str(self._folder),
        }

    def refuse_from(self, number: int) -> None:
        """Refuse the thread with this number, counted from 0 by requests, and all after it."""
        self._write(number, _NEVER)

    def lift(self) -> None:
        """Refuse none any more."""
        self._write(_NEVER, _NEVER)

    def asked_for(self) -> list[str]:
        """Return the names of all threads that were asked for, in that order."""
        try:
            lines = (self._folder / "starts").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [line.split(maxsplit=1)[1].strip() for line in lines]

    def _write(self, first: int, end: int) -> None:
        new = self._folder / "refused.new"
        new.write_text(f"{first} {end}", encoding="ascii")
        new.replace(self._folder / "refused")
