"""Lines of the log as JSON objects: their fields, and what clients may put into them."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.log.json_lines import JsonLines

FIXED = ["time", "ident", "pid", "level", "message"]


def formatted(text: str = "what happened", level: int = logging.INFO, **parts: Any) -> str:
    """Return the line of a record with extra fields, and with an `exc_info` if given."""
    exc_info = parts.pop("exc_info", None)
    log = logging.getLogger("of-the-test")
    record = log.makeRecord(log.name, level, "file.py", 7, text, (), exc_info, extra=parts)
    return str(JsonLines("mogstored", logging.Formatter()).format(record))


def test_fields_of_a_plain_line() -> None:
    found = json.loads(formatted())
    assert list(found) == FIXED
    assert (found["ident"], found["pid"], found["level"]) == ("mogstored", os.getpid(), "info")
    assert found["message"] == "what happened"


def test_extra_fields_follow() -> None:
    found = json.loads(formatted(device="dev1", errno="EIO", count=3))
    assert list(found) == [*FIXED, "device", "errno", "count"]
    assert (found["device"], found["errno"], found["count"]) == ("dev1", "EIO", 3)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_level_is_a_word(level: str) -> None:
    assert json.loads(formatted(level=logging.getLevelName(level.upper())))["level"] == level


def test_traceback_is_in_the_message() -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        found = json.loads(formatted("it failed", exc_info=sys.exc_info(), client="10.0.0.1:5"))
    assert list(found) == [*FIXED, "client"]
    assert found["message"].startswith("it failed\nTraceback")


@given(st.binary(max_size=60))
def test_bytes_of_a_client_break_no_line(sent: bytes) -> None:
    line = formatted(path=os.fsdecode(sent))
    assert line.isascii()
    assert line.isprintable()
    found = json.loads(line)
    assert found["path"].isprintable()
    # No lone surrogates, which other readers refuse.
    found["path"].encode("utf-8")
