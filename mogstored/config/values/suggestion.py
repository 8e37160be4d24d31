"""What a misspelt word was meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Suggest a name that is written much like `word`, for the end of a message; or nothing."""
    # Late: most configurations have no such word.
    import difflib

    near = difflib.get_close_matches(word, sorted(names), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
