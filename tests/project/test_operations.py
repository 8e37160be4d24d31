"""The document on operations shows what the node says, on port 7501 and in its log."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.project._tree import ROOT, modules_of
from tests.support.daemon import Node
from tests.support.sidechannel import manage

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = (ROOT / "docs" / "operations.md").read_text()

_LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
_PLACEHOLDER = re.compile(r"%[srdg]")


def table(*header: str) -> list[list[str]]:
    """Return the rows of the table that has this header, without backticks."""
    lines = DOCUMENT.splitlines()
    start = lines.index(f"| {' | '.join(header)} |") + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def logged() -> Iterator[str]:
    """Find the texts of all log messages in both packages."""
    for path in modules_of("mogstored") + modules_of("mogpoll"):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in _LEVELS and ast.unparse(node.func.value) == "_log":
                yield from (
                    argument.value
                    for argument in node.args[:2]
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                )


def pattern(text: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(text)
    return re.compile(".+".join(re.escape(part) for part in parts))


MESSAGES = [pattern(text) for text in logged() if _PLACEHOLDER.sub("", text).strip(" :/")]


@pytest.mark.parametrize("line", [row[0] for row in table("line", "meaning")])
def test_log_line_is_one_of_the_nodes(line: str) -> None:
    assert [message.pattern for message in MESSAGES if message.fullmatch(line)] != []


def test_line_that_nobody_writes_is_noticed() -> None:
    assert not [message for message in MESSAGES if message.fullmatch("the node is unwell")]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(mgmt=True, devices=["dev1"]) as node:
        yield node


@pytest.mark.parametrize(
    ("command", "answer"),
    [(row[0], row[1]) for row in table("send", "comes back") if row[0] != "watch"],
)
def test_sidechannel_answers_as_shown(node: Node, command: str, answer: str) -> None:
    with manage(node) as manager:
        said = manager.ask(command.encode()).decode().rstrip("\r\n")
    assert re.sub(r"\d+$", "N", said) == re.sub(r"\d+$", "N", answer)


def test_threads_are_set_as_shown(node: Node) -> None:
    (command,) = re.findall(r"printf '(server .*?)\\r\\n'", DOCUMENT)
    with manage(node) as manager:
        assert manager.ask(command.encode()) == b"\r\n"
    node.wait_for_log(r"server aio_threads=60$")
