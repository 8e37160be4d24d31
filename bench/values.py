"""Values on command lines, refused with a word before anything is started."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable


def positive(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"not a positive number: {text}")
    return int(text)


def some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what reads a list such as `A,B`: names out of `known`, in that order, each once."""
    known = list(known)

    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {','.join(unknown)}; of {','.join(known)}")
        return list(dict.fromkeys(names))

    return parse
