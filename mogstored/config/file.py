"""The text of a config file to what it says.

    line = blanks [ key blanks "=" blanks value blanks ] [ "#" anything ] LF

A value is one word. Lines may end in CR LF, and the last one in nothing.
"""

from __future__ import annotations

import codecs
import os
import re
from typing import NamedTuple

from mogstored.config.diagnostics import Diagnostics
from mogstored.config.rows.setting import Setting
from mogstored.config.settings import KEYS
from mogstored.config.source import Source
from mogstored.config.values.suggestion import did_you_mean

_BLANKS = " \t\r"
# str.split() takes more than these for blanks.
_GAP = re.compile(f"[{_BLANKS}]+")


class Line(NamedTuple):
    """A line that says something; `value` is None when there is no `=`."""

    key: str
    value: str | None


def parse_file(content: bytes, name: str, diagnostics: Diagnostics) -> Source:
    """Return what a file says; `name` is the file as the operator called it."""
    source = Source(name)
    if coding := _foreign_coding(content):
        source.mark_invalid(KEYS)
        diagnostics.error(f"{name}: the text is {coding}; save it as UTF-8")
        return source
    text = os.fsdecode(content.removeprefix(codecs.BOM_UTF8))
    first_lines: dict[str, int] = {}
    for number, one in enumerate(text.split("\n"), start=1):
        if line := split_line(one):
            place = f"{name}:{number}: "
            first = first_lines.setdefault(line.key, number)
            if first != number and line.key in KEYS and _counts_once(KEYS[line.key]):
                diagnostics.warn(
                    f"WARNING: {place}{line.key} was set in line {first} already; "
                    "the last one counts"
                )
            _apply(source, line, place, diagnostics)
    return source


def _counts_once(setting: Setting) -> bool:
    return setting.name != "skipconfig" and not setting.is_list


def _foreign_coding(content: bytes) -> str | None:
    """Return the coding of a file in which no line would be understood.

    Windows editors save such files, mostly with a byte order mark.
    """
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    # No mark, but ASCII in two bytes each.
    return "UTF-16" if content[:2].count(0) == 1 else None


def split_line(text: str) -> Line | None:
    """Return the key and the value in a line, or None for one that is empty or a comment."""
    said = text.partition("#")[0].strip(_BLANKS)
    if not said:
        return None
    key, equals, value = said.partition("=")
    return Line(key.rstrip(_BLANKS), value.lstrip(_BLANKS) if equals else None)


def _apply(source: Source, line: Line, place: str, diagnostics: Diagnostics) -> None:
    key, value = line
    setting = KEYS.get(key)
    if setting is None:
        word = _GAP.split(key)[0] if value is None else key
        why = f"no '=' after '{word}'" if word in KEYS else f"unknown key '{word}'{_hint(word)}"
        diagnostics.warn(f"WARNING: {place}{why}, ignored")
    elif value is None:
        if setting.metavar:
            diagnostics.warn(f"WARNING: {place}'{key}' without '=' and a value, ignored")
        else:
            source.set(setting, "yes", place + key, diagnostics)
    elif fault := _fault(setting, value):
        source.mark_invalid([key])
        diagnostics.error(f"{place}{key}: {fault}")
    else:
        source.set(setting, value, f"{place}{key} = {value}", diagnostics)


def _hint(word: str) -> str:
    """Suggest a key that is written much like `word`, in any case, with `-` or `_`."""
    return did_you_mean(word.lower().replace("-", "_"), KEYS)


def _fault(setting: Setting, value: str) -> str | None:
    if "\0" in value:
        return "a NUL byte in the value"
    if setting.is_lenient:
        return None
    if not value:
        return "no value after '='"
    if _GAP.search(value) and not setting.is_list:
        return f"'{value}' is not one word"
    return None
