"""The text of a config file to settings.

    line = blanks [ key blanks "=" blanks value blanks ] [ "#" anything ] LF

A value is one word. Lines may end in CR LF, and the last one in nothing.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from mogstored.config.findings import Findings
from mogstored.config.settings import KEYS, SWITCHES, TOLERANT, Settings

_BLANKS = " \t\r"
# str.split() takes more than these for blanks.
_GAP = re.compile(f"[{_BLANKS}]+")


class Line(NamedTuple):
    """A line that says something; `value` is None when there is no `=`."""

    key: str
    value: str | None


def parse(content: bytes, name: str, findings: Findings) -> Settings:
    """Return what a file says; `name` is the file as the operator called it."""
    settings = Settings(name)
    for number, text in enumerate(os.fsdecode(content).split("\n"), start=1):
        if line := split_line(text):
            _take(settings, line, f"{name}:{number}: ", findings)
    return settings


def split_line(text: str) -> Line | None:
    """Return the key and the value in a line, or None for one that is empty or a comment."""
    said = text.partition("#")[0].strip(_BLANKS)
    if not said:
        return None
    key, equals, value = said.partition("=")
    return Line(key.rstrip(_BLANKS), value.lstrip(_BLANKS) if equals else None)


def _take(settings: Settings, line: Line, place: str, findings: Findings) -> None:
    key, value = line
    if key not in KEYS:
        word = _GAP.split(key)[0] if value is None else key
        why = f"no '=' after '{word}'" if word in KEYS else f"unknown key '{word}'"
        findings.warn(f"WARNING: {place}{why}, ignored")
    elif value is None:
        if key in SWITCHES:
            settings.take(key, "yes", place + key, findings)
        else:
            findings.warn(f"WARNING: {place}'{key}' without '=' and a value, ignored")
    elif fault := _fault(key, value):
        settings.spoil(key)
        findings.error(f"{place}{key}: {fault}")
    else:
        settings.take(key, value, f"{place}{key} = {value}", findings)


def _fault(key: str, value: str) -> str | None:
    if "\0" in value:
        return "a NUL byte in the value"
    if key in TOLERANT:
        return None
    if not value:
        return "no value after '='"
    if _GAP.search(value):
        return f"'{value}' is not one word"
    return None
