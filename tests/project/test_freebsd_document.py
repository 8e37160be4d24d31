"""The document on FreeBSD points to files and tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.project._tree import ROOT

DOCUMENT = (ROOT / "docs" / "freebsd.md").read_text()
NAMED = set(re.findall(r"`([^`\n]+)`", DOCUMENT))
FILES = sorted(
    name for name in NAMED if re.fullmatch(r"(mogpoll|mogstored|tests)/[\w/]+\.py", name)
)
TESTS = sorted(name for name in NAMED if re.fullmatch(r"test_\w+", name))


@pytest.fixture(scope="module")
def functions() -> set[str]:
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return {
        name for text in sources for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", FILES)
def test_file_exists(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", TESTS)
def test_test_exists(name: str, functions: set[str]) -> None:
    assert name in functions


def test_rows_are_complete() -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| ")]
    assert len(rows) > 50
    # Blank where only a real machine, or nothing, shows it.
    assert {row.count("|") for row in rows} == {4}
