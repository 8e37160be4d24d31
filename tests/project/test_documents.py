"""What all documents have in common: links and paths that lead somewhere, and plain words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.project._tree import ROOT, modules_of

DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "bench" / "README.md",
    ROOT / "packaging" / "mogpoll" / "README.md",
]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:bench|docs|examples|mogpoll|mogstored|packaging|tests|vm)/[\w./-]*)`")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
# Words that made our texts read like a translation.
STILTED = re.compile(
    r"\b(told|tells?|telling|whoever|nobody|lest|save that|those who)\b", re.IGNORECASE
)
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)

_FENCED = re.compile(r"^( *)```.*?^ *```$", re.MULTILINE | re.DOTALL)
# A paragraph or a fence; an item that follows one without a blank line.
_SHALLOW = re.compile(
    r"\n\n {1,3}\S.*|^ {1,3}```.*|\n\n {4}\S.*(?:\n {4}.*)*\n *(?:-|\d+\.) .*", re.MULTILINE
)

# Made by runs.
_UNTRACKED = ("vm/results",)


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = (heading.lower().replace(" ", "-") for heading in _HEADING.findall(text))
    return {re.sub(r"[^\w-]", "", heading) for heading in headings}


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def document(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_links_lead_somewhere(document: Path) -> None:
    dead = []
    for link in _LINK.findall(document.read_text()):
        name, _, anchor = link.partition("#")
        if ":" in name:
            continue
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            dead.append(link)
    assert dead == []


def test_paths_exist(document: Path) -> None:
    paths = _PATH.findall(document.read_text())
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert [path for path in missing if not path.startswith(_UNTRACKED)] == []


def test_lists_are_lists_for_every_markdown(document: Path) -> None:
    """A git host's takes two or three columns for the inside of a list, that of the site four."""
    text = _FENCED.sub(r"\1```", document.read_text())
    assert _SHALLOW.findall(text) == []


def test_words_are_plain(document: Path) -> None:
    lines = _CODE.sub("", document.read_text()).splitlines()
    assert [line for line in lines if STILTED.search(line)] == []


def test_messages_of_vm_are_quoted_as_they_are() -> None:
    table = (ROOT / "docs" / "vm.md").read_text().partition("| message | what to do |\n")[2]
    quotes = re.findall(r"^\| `(.+?)(?: \.\.\.)?` \|", table.partition("\n\n")[0], re.MULTILINE)
    code = "".join((ROOT / path).read_text() for path in modules_of("vm"))
    assert len(quotes) > 4
    assert [quote for quote in quotes if quote not in code] == []
