"""A time with its unit: `30d`, `12h`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


@dataclass(frozen=True, slots=True)
class Duration:
    """So many seconds, as they were typed."""

    seconds: int
    typed: str

    def __str__(self) -> str:
        return self.typed


def parse_duration(word: str) -> Duration:
    """Return what `30d` means.

    **Raises:** `ValueError`.
    """
    found = _DURATION.fullmatch(word)
    if found is None:
        raise ValueError("not a number with its unit (s, m, h or d) such as 30d")
    seconds = int(found[1]) * _SECONDS[found[2]]
    if not seconds:
        raise ValueError("0 is no period; for none, leave it out")
    return Duration(seconds, word)
