"""The log of a node as JSON: its lines, checked against what documents say of them."""

from __future__ import annotations

import errno
import json
import re
from typing import TYPE_CHECKING, Any

from mogstored.devices.health import DeviceState
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.daemon import Node

JSON = "--log-format=json"

_FIXED = ["time", "ident", "pid", "level", "message"]
_LEVELS = {"debug", "info", "notice", "warning", "error", "critical"}
_EXTRA = {
    "device": re.compile(r"dev[0-9]+|"),
    "path": re.compile(r"/.*"),
    "client": re.compile(r".+:[0-9]+|unknown peer"),
    "errno": re.compile("|".join(errno.errorcode.values())),
    "operation": re.compile("read|write|delete|digest"),
    "state": re.compile("|".join(DeviceState)),
}


def lines_of(node: Node) -> list[dict[str, Any]]:
    """Return what was logged so far; every line is as it should be."""
    lines = [json.loads(line) for line in node.stderr_lines()]
    for line in lines:
        _check(line)
    return lines


def _check(line: dict[str, Any]) -> None:
    assert list(line)[: len(_FIXED)] == _FIXED, line
    assert line["level"] in _LEVELS, line
    assert isinstance(line["pid"], int), line
    for name in list(line)[len(_FIXED) :]:
        assert _EXTRA[name].fullmatch(line[name]), line
        assert line[name].isprintable(), line


def wait_for_line(node: Node, **fields: str) -> dict[str, Any]:
    """Return the first line with these fields, waiting for it; `message` is a pattern."""
    message = fields.pop("message", "")

    def found() -> list[dict[str, Any]]:
        return [
            line
            for line in lines_of(node)
            if fields.items() <= line.items() and re.search(message, line["message"])
        ]

    wait_until(found, f"a line with {fields} and {message!r}")
    return found()[0]
