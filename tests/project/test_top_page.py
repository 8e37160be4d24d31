"""docs/top.md and its picture show what `mogstored top` prints."""

from __future__ import annotations

import dataclasses
import html
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mogstored.top.main import to_json
from mogstored.top.model import NODE_STATES, VERDICTS, Device, Node
from mogstored.top.order import SORTS
from tests.project._tree import ROOT

PAGE = (ROOT / "docs" / "top.md").read_text()
SCRIPT = ROOT / "packaging" / "docs" / "top_picture.py"
_CODE = re.compile(r"`([^`]+)`")


def table(heading: str) -> list[str]:
    """Return what the first column of a table has in backticks."""
    rows = PAGE.partition(f"\n| {heading} | ")[2].partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in _CODE.findall(row.split("|")[1])]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", SCRIPT, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def text_of(picture: str) -> str:
    """Return the characters on the screen of a picture, without blanks."""
    screen = picture.partition('-matrix">')[2]
    shown = "".join(re.findall(r"<text[^>]*>([^<]*)</text>", screen))
    return re.sub(r"\s", "", html.unescape(shown))


def test_fields_of_the_json_are_described() -> None:
    node = Node(node="a", state="ok", devices=(Device(node="a", device="dev1", state="ok"),))
    whole: dict[str, Any] = to_json([node], 0.0)
    (shown,) = whole["nodes"]
    assert sorted(table("field of a node")) == sorted(shown)
    assert sorted(table("field of a device")) == sorted(shown["devices"][0])


def test_states_are_described() -> None:
    assert set(table("state of a node")) == set(NODE_STATES) - {"ok", "asking"}
    assert set(table("state of a device")) == set(VERDICTS) - {"ok", "unknown"}


def test_orders_are_listed() -> None:
    assert _CODE.findall(next(line for line in PAGE.splitlines() if "--sort" in line))[1:] == [
        *SORTS
    ]


def test_picture_shows_the_present_view() -> None:
    picture = (ROOT / "docs" / "top.svg").read_text()
    assert text_of(picture) == re.sub(r"\s", "", run("--text"))


def test_picture_needs_no_other_host(tmp_path: Path) -> None:
    run(str(tmp_path / "made.svg"))
    picture = (tmp_path / "made.svg").read_text()
    assert set(re.findall(r"\w+://[^\"\s]+", picture)) == {"http://www.w3.org/2000/svg"}
    assert text_of(picture) == re.sub(r"\s", "", run("--text"))


@pytest.mark.parametrize("kind", [Node, Device])
def test_what_is_not_known_is_none(kind: type) -> None:
    """As the page says; a field with another default would look like a value."""
    defaults = {f.name: f.default for f in dataclasses.fields(kind)}
    known = {name for name, default in defaults.items() if default is not None}
    assert (
        known
        == {
            Node: {"node", "state", "detail", "devices"},
            Device: {"node", "device", "state", "utilization_history"},
        }[kind]
    )
