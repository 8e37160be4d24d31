"""Numbers, switches and paths: a word in, what it means out.

Every function raises `ValueError` with the reason alone; the caller knows which setting it
was and how it was written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mogstored.config.values.suggestion import did_you_mean

# What an unsigned long holds, on the systems that the first node of this kind ran on.
MAX_MAXCONNS = 2**64 - 1
# Beyond this, waiting for so long overflows the clocks of some systems.
_MAX_INTERVAL_S = 2**31 - 1
_MAX_THREADS = 10_000
_MAX_ERRORS = 100_000
LOG_FORMATS = ("text", "json")
DURABILITY_LEVELS = ("none", "data", "full")
CHECKSUMS_AT_REST = ("auto", "none", "md5", "sha256")
ACCESS_LOG_FORMATS = ("combined", "json")
LOG_LEVELS = ("debug", "info", "notice", "warning", "error")

_SWITCHES = {
    **dict.fromkeys(("1", "yes", "true", "on"), True),
    **dict.fromkeys(("0", "no", "false", "off"), False),
}
_NOT_A_DIGIT = re.compile(r"[^0-9]", re.ASCII)


def parse_number(word: str, lowest: int, highest: int, of: str = "") -> int:
    """Return the decimal number that `word` is, without sign; `of` says of what, for messages."""
    wanted = f"a whole number{of} of at least {lowest}"
    if not word:
        raise ValueError(f"{wanted} is missing")
    if found := _NOT_A_DIGIT.search(word):
        raise ValueError(f"not {wanted}, because of '{found[0]}'")
    # int() refuses thousands of digits with an error of its own.
    digits = word.lstrip("0") or "0"
    if len(digits) > len(str(highest)) or int(digits) > highest:
        raise ValueError(f"more than {highest}")
    if int(digits) < lowest:
        raise ValueError(f"not {wanted}")
    return int(digits)


def parse_maxconns(word: str) -> int:
    """Return a positive number, or 0, which existing files use for the default."""
    is_zero = bool(word) and not word.strip("0")
    return 0 if is_zero else parse_number(word, 1, MAX_MAXCONNS)


def parse_interval(word: str) -> int:
    """Return a positive number of seconds."""
    return parse_number(word, 1, _MAX_INTERVAL_S, " of seconds")


def parse_time_limit(word: str) -> int:
    """Return a positive number of seconds; nothing is the way to write that there is no limit."""
    if word and not word.strip("0"):
        raise ValueError("0 is no limit; for none, leave it out")
    return parse_number(word, 1, _MAX_INTERVAL_S, " of seconds")


def parse_error_limit(word: str) -> int:
    return parse_number(word, 0, _MAX_ERRORS)


def parse_aio_threads(word: str) -> int:
    return parse_number(word, 1, _MAX_THREADS)


def parse_log_format(word: str) -> str:
    return parse_choice(word, LOG_FORMATS)


def parse_access_log_format(word: str) -> str:
    return parse_choice(word, ACCESS_LOG_FORMATS)


def parse_durability(word: str) -> str:
    return parse_choice(word, DURABILITY_LEVELS)


def parse_checksum_at_rest(word: str) -> str:
    return parse_choice(word, CHECKSUMS_AT_REST)


def parse_scrub_rate(word: str) -> int:
    return parse_number(word, 1, 1_000_000)


def parse_log_level(word: str) -> str:
    return parse_choice(word, LOG_LEVELS)


def parse_choice(word: str, choices: Sequence[str]) -> str:
    """Return the word if it is one of the choices."""
    if word not in choices:
        hint = did_you_mean(word.lower(), choices)
        raise ValueError(f"not one of {', '.join(choices)}{hint}")
    return word


def parse_switch(word: str) -> bool:
    """Return what yes or no, in any of its spellings, means."""
    try:
        return _SWITCHES[word]
    except KeyError:
        hint = did_you_mean(word.lower(), _SWITCHES)
        raise ValueError(f"neither yes nor no (one of {', '.join(_SWITCHES)}){hint}") from None


def parse_path(word: str) -> str:
    if not word:
        raise ValueError("a path is missing")
    return word
