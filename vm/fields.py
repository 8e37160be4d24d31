"""Checks of the fields of a mapping read from YAML: every error names its key.

YAML guesses types: `release: 14.10` is the number 14.1, `no` is false. Nothing is converted here;
a wrong type is an error, which says "quote it" where that is the likely mistake.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

from vm.errors import VMError

_CHECKSUM = re.compile(r"sha(256|512):([0-9a-f]+)")
_HEX_DIGITS = {"256": 64, "512": 128}


class Fields:
    """The fields of one mapping, taken one by one; `done` refuses the rest as unknown."""

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, Mapping):
            raise VMError(f"{where}: is {_kind(values)}, and must be a mapping of keys to values")
        self._values: dict[object, Any] = dict(values)
        self._where = where

    def text(self, key: str, choices: tuple[str, ...] = ()) -> str:
        """Take a required string."""
        value = self._take(key)
        if value is None:
            raise self.wrong(key, "is missing")
        return self._checked_text(key, value, choices)

    def optional_text(self, key: str, choices: tuple[str, ...] = ()) -> str | None:
        value = self._take(key)
        return None if value is None else self._checked_text(key, value, choices)

    def number(self, key: str, lowest: int) -> int:
        value = self._take(key)
        if value is None:
            raise self.wrong(key, "is missing")
        if type(value) is not int:
            raise self.wrong(key, f"is {_kind(value)}, and must be a whole number")
        if value < lowest:
            raise self.wrong(key, f"is {value}, and must be at least {lowest}")
        return value

    def date(self, key: str) -> datetime.date:
        """Take a day, which YAML reads from YYYY-MM-DD without quotes."""
        value = self._take(key)
        if value is None:
            raise self.wrong(key, "is missing")
        if type(value) is not datetime.date:
            raise self.wrong(key, f"is {_kind(value)}, and must be a day like 2027-06-30")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a list of strings; without the key it is empty."""
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.wrong(key, f"is {_kind(value)}, and must be a list")
        return tuple(self._checked_text(f"{key}[{n}]", one, ()) for n, one in enumerate(value))

    def checksum(self, key: str) -> str | None:
        """Take `sha256:HEX`, `sha512:HEX`, or the URL of a published list."""
        value = self.optional_text(key)
        if value is None or value.startswith("https://"):
            return value
        found = _CHECKSUM.fullmatch(value)
        if found is None:
            raise self.wrong(
                key,
                f"is {value!r}, and must be sha256:HEX, sha512:HEX, "
                "or the https:// address of a published list of checksums",
            )
        if len(found[2]) != _HEX_DIGITS[found[1]]:
            raise self.wrong(
                key, f"has {len(found[2])} digits, and sha{found[1]} has {_HEX_DIGITS[found[1]]}"
            )
        return value

    def fields(self, key: str) -> Fields | None:
        """Take a mapping within this one."""
        value = self._take(key)
        return None if value is None else Fields(value, f"{self._where}, key '{key}'")

    def done(self) -> None:
        for key in self._values:
            raise self.wrong(str(key), "is not known here")

    def wrong(self, key: str, what: str) -> VMError:
        return VMError(f"{self._where}, key '{key}': {what}")

    def _take(self, key: str) -> Any:
        if key not in self._values:
            return None
        value = self._values.pop(key)
        if value is None:
            raise self.wrong(key, "has no value")
        return value

    def _checked_text(self, key: str, value: object, choices: tuple[str, ...]) -> str:
        if not isinstance(value, str):
            quote = "; quote it" if isinstance(value, int | float) else ""
            raise self.wrong(key, f"is {_kind(value)}, and must be text{quote}")
        if not value.strip():
            raise self.wrong(key, "is empty")
        if choices and value not in choices:
            raise self.wrong(key, f"is {value!r}, and must be one of: {', '.join(choices)}")
        return value


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {value!r}"
    return {list: "a list", dict: "a mapping", type(None): "nothing"}.get(
        type(value), f"a {type(value).__name__}"
    )
