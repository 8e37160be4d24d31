"""How much of a device must stay free: a size, or a part of the whole."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIZE = re.compile(r"([0-9]{1,18})([KMGTP]?)(?:i?B)?")
_PERCENT = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,3})?)%")
_UNITS = ("", "K", "M", "G", "T", "P")


@dataclass(frozen=True, slots=True)
class MinFree:
    """A number of bytes, and thousandths of a percent of the whole; one of them is 0."""

    size: int
    millipercent: int
    typed: str

    def of(self, total: int) -> int:
        """Return the number of bytes that stay free of `total`."""
        return self.size or total * self.millipercent // 100_000

    def __str__(self) -> str:
        return self.typed


def parse_min_free(word: str) -> MinFree:
    """Return what `10G` or `5%` means. K, M, G, T and P are powers of 1024.

    **Raises:** `ValueError`.
    """
    found, percent = _SIZE.fullmatch(word), _PERCENT.fullmatch(word)
    if found is not None:
        size = int(found[1]) << 10 * _UNITS.index(found[2])
        parsed = MinFree(size, 0, word)
    elif percent is not None:
        parsed = MinFree(0, round(float(percent[1]) * 1000), word)
    else:
        raise ValueError("neither a size such as 10G nor a part below 100% such as 5%")
    if not (parsed.size or parsed.millipercent):
        raise ValueError("0 is no limit; for none, leave it out")
    return parsed
