"""The values of options and config keys: a word in, what it means out.

Every function raises `ValueError` with the reason alone; the caller knows which setting it
was and how it was written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# What an unsigned long holds, on the systems that the first node of this kind ran on.
MAX_MAXCONNS = 2**64 - 1
MAX_WORKER_PROCESSES = 2**32 - 1
# Beyond this, waiting for so long overflows the clocks of some systems.
_MAX_INTERVAL_S = 2**31 - 1
_MAX_THREADS = 10_000

_SWITCHES = {
    **dict.fromkeys(("1", "yes", "true", "on"), True),
    **dict.fromkeys(("0", "no", "false", "off"), False),
}
_NOT_A_DIGIT = re.compile(r"[^0-9]", re.ASCII)


def parse_number(word: str, highest: int) -> int:
    """Return the decimal number that `word` is, without sign."""
    if not word:
        raise ValueError("a number is missing")
    if found := _NOT_A_DIGIT.search(word):
        raise ValueError(f"not a number, because of '{found[0]}'")
    # int() refuses thousands of digits with an error of its own.
    digits = word.lstrip("0") or "0"
    if len(digits) > len(str(highest)) or int(digits) > highest:
        raise ValueError(f"more than {highest}")
    return int(digits)


def parse_maxconns(word: str) -> int:
    return parse_number(word, MAX_MAXCONNS)


def parse_worker_processes(word: str) -> int:
    return parse_number(word, MAX_WORKER_PROCESSES)


def parse_interval(word: str) -> int:
    """Return a positive number of seconds."""
    if not (seconds := parse_number(word, _MAX_INTERVAL_S)):
        raise ValueError("not positive")
    return seconds


def parse_aio_threads(word: str) -> int:
    if not (threads := parse_number(word, _MAX_THREADS)):
        raise ValueError("not positive")
    return threads


def parse_choice(word: str, choices: Sequence[str]) -> str:
    if word not in choices:
        raise ValueError(f"not one of {', '.join(choices)}")
    return word


def parse_switch(word: str) -> bool:
    """Return what yes or no, in any of its spellings, means."""
    try:
        return _SWITCHES[word]
    except KeyError:
        raise ValueError(f"neither yes nor no (one of {', '.join(_SWITCHES)})") from None


def parse_path(word: str) -> str:
    if not word:
        raise ValueError("a path is missing")
    return word
