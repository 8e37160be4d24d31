"""Every fenced block of the documents is run by a test, or blocks.toml says why none runs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.project._blocks import SOURCES, blocks, entries, is_of
from tests.project._stage import Stage
from tests.project._tree import ROOT

ENTRIES = entries()
each_entry = pytest.mark.parametrize(
    "entry", ENTRIES, ids=lambda entry: f"{entry['document']}: {entry['begins'][:40]}"
)
# Four columns after a paragraph: a block that no entry can name.
_INDENTED = re.compile(r"^(?![-*] |\d+\. )\S.*\n\n {4}\S.*", re.MULTILINE)
_FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)


def test_every_block_has_one_entry() -> None:
    found = blocks()
    assert len(found) > 60
    counts = {(it.document, it.first): sum(is_of(entry, it) for entry in ENTRIES) for it in found}
    assert [name for name, count in counts.items() if count != 1] == []


@each_entry
def test_entry_is_of_one_block(entry: dict[str, Any]) -> None:
    assert sum(is_of(entry, it) for it in blocks()) == 1


@each_entry
def test_entry_names_tests_or_a_reason(entry: dict[str, Any]) -> None:
    assert set(entry) <= {"document", "begins", "test", "not_run", "note"}
    tests, reason = entry.get("test", []), entry.get("not_run")
    assert bool(tests) != isinstance(reason, str)
    for name in [tests] if isinstance(tests, str) else tests:
        path, _, function = name.partition("::")
        assert re.search(rf"^def {function}\(", (ROOT / path).read_text(), re.MULTILINE), name


@each_entry
def test_lines_that_are_left_out_are_there_and_not_all(entry: dict[str, Any]) -> None:
    reasons = entry.get("not_run")
    if not isinstance(reasons, dict):
        return
    (text,) = (it.text for it in blocks() if is_of(entry, it))
    lines = [line.removeprefix("$ ") for line in text.splitlines() if not line.startswith("#")]
    for begin, reason in reasons.items():
        assert any(line.startswith(begin) for line in lines), begin
        assert len(reason) > 5
    assert [line for line in lines if not line.startswith(tuple(reasons))]


def test_code_is_fenced() -> None:
    texts = {path: _FENCED.sub("", path.read_text(encoding="utf-8")) for path in SOURCES}
    found = {path.name: _INDENTED.findall(text) for path, text in texts.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_stage_may_be_below_a_folder_of_the_documents(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.folder = Path("/var/tmp/stage")
    shown = "cat /etc/a /var/tmp/b /var/tmp/stage/etc/c"
    there = "cat /var/tmp/stage/etc/a /var/tmp/stage/var/tmp/b /var/tmp/stage/etc/c"
    assert stage.staged(shown) == there
    assert stage.staged(there) == there
