"""docs/status.md lists every field of /status.json that a running node shows, with its type."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.project._tree import ROOT
from tests.support.http import ask, compose
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.daemon import Node

PAGE = ROOT / "docs" / "status.md"
# Whose keys depend on what happened.
OPEN = {
    "http.requests": "METHOD",
    "http.requests.METHOD": "STATUS",
    "http.durations": "METHOD",
    "sidechannel.commands": "COMMAND",
    "threads": "POOL",
    "devices[].errors": "OPERATION",
    "devices[].errors.OPERATION": "ERRNO",
    "devices[].operations": "OPERATION",
}
TYPES = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}


def listed() -> dict[str, set[str]]:
    """Return the types of each field on the page."""
    table = PAGE.read_text().partition("| field |")[2]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", table, re.MULTILINE)
    return {
        f"{field}[]" if types == "list of strings" else field: (
            {"string"} if types == "list of strings" else set(types.split(" or "))
        )
        for field, types in rows
    }


def fields(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each field of JSON with its type."""
    if isinstance(value, dict):
        for key, each in value.items():
            name = str(OPEN.get(path, key))
            yield from fields(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from fields(each, f"{path}[]")
    else:
        yield path, TYPES[type(value)]


def status_of(node: Node) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(ask(node.admin, compose("GET", "/status.json")).body)
    return loaded


def test_page_lists_what_a_node_shows(busy: Node) -> None:
    wait_until(lambda: status_of(busy)["devices"][0]["utilization_history"], "a second of history")
    known, shown = listed(), dict[str, set[str]]()
    for field, kind in fields(status_of(busy)):
        shown.setdefault(field, set()).add(kind)
    # Reasons are there only while it is not ready, and findings of a scrub if there are any.
    missing = known.keys() - shown.keys()
    assert {each for each in missing if not each.startswith("devices[].scrub.findings[].")} <= {
        "node.not_ready_reasons[]",
        "devices[].scrub",
    }
    assert shown.keys() - known.keys() == set()
    assert [field for field, kinds in shown.items() if not kinds <= known[field]] == []
