"""docs/sidechannel.md and docs/http.md: as a node answers, and whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from tests.project._tree import ROOT
from tests.support.daemon import Node
from tests.support.sidechannel import manage

FOLDER = ROOT / "packaging" / "docs"


def tables(name: str) -> Any:
    """Import a module beside packaging/docs/render.py."""
    sys.path.append(str(FOLDER))
    try:
        return import_module(f"{name}_tables")
    finally:
        sys.path.remove(str(FOLDER))


EXCHANGES = {entry["send"]: entry["back"] for entry in tables("sidechannel").entries()}
ENDS = [line for line in EXCHANGES if line.startswith("shutdown")]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(mgmt=True, devices=["dev1"]) as node:
        node.write("/dev1/file", b"hello, mogile")
        yield node


@pytest.mark.parametrize("line", [line for line in EXCHANGES if line not in (*ENDS, "watch")])
def test_sidechannel_answers_as_shown(node: Node, line: str) -> None:
    with manage(node) as manager:
        assert manager.ask(line.encode()).decode() == f"{EXCHANGES[line]}\r\n"


def test_sidechannel_reports_as_shown(node: Node) -> None:
    with manage(node) as manager:
        manager.send(b"watch\r\n")
        manager.read_block()


@pytest.mark.parametrize("line", ENDS)
def test_sidechannel_stops_the_node_as_shown(line: str) -> None:
    with Node(mgmt=True, devices=["dev1"]) as node:
        with manage(node) as manager:
            manager.send(line.encode() + b"\r\n")
            manager.read_eof()
        assert node.wait() == 0


@pytest.mark.parametrize(
    ("name", "table", "lacks", "instead"),
    [
        ("sidechannel", "commands", 'send = "shutdown', 'send = "size /dev1/'),
        ("sidechannel", "commands", 'send = "SHA-384', 'send = "SHA-512'),
        ("http", "statuses", "[status.507]", "[status.599]"),
        ("http", "errors", "EROFS", "EBADF"),
    ],
)
def test_what_the_entries_lack_is_named(
    name: str, table: str, lacks: str, instead: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tables(name)
    text = module.ENTRIES.read_text()
    (tmp_path / "entries.toml").write_text(text.replace(lacks, instead))
    assert list(getattr(module, table)())
    monkeypatch.setattr(module, "ENTRIES", tmp_path / "entries.toml")
    with pytest.raises(ValueError, match=r"has no line for|differ in"):
        list(getattr(module, table)())
