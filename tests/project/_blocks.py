"""The fenced blocks of the documents, and what blocks.toml says of each.

An entry names a block by its document and the beginning of its first line. It has a `test`,
which runs the block; or `not_run`, the reason why none does; or both, with `not_run` a table:
lines of the block that begin with a key are left out, for the reason beside it.
"""

from __future__ import annotations

import re
import textwrap
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from tests.project._tree import ROOT
from tests.project.test_documents import DOCUMENTS

SOURCES = [*DOCUMENTS, ROOT / "packaging" / "ansible" / "README.md"]
ENTRIES = Path(__file__).with_name("blocks.toml")

_FENCED = re.compile(r"^( *)```([\w-]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block."""

    document: str
    language: str
    text: str

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def session(self) -> list[tuple[str, str]]:
        """The commands after `$`, each with what is shown below it."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]

    @property
    def skipped(self) -> tuple[str, ...]:
        """How lines begin that no test runs."""
        (reasons,) = (entry.get("not_run") for entry in entries() if is_of(entry, self))
        return tuple(reasons) if isinstance(reasons, dict) else ()


def blocks() -> list[Block]:
    return [
        Block(path.relative_to(ROOT).as_posix(), language, textwrap.dedent(text))
        for path in SOURCES
        for _, language, text in _FENCED.findall(path.read_text(encoding="utf-8"))
    ]


def entries() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = tomllib.loads(ENTRIES.read_text(encoding="utf-8"))["block"]
    return loaded


def is_of(entry: dict[str, Any], block: Block) -> bool:
    return entry["document"] == block.document and block.first.startswith(entry["begins"])


def block(document: str, begins: str) -> Block:
    """Return the one block of a document that begins so."""
    found = [it for it in blocks() if it.document == document and it.first.startswith(begins)]
    assert len(found) == 1, f"{len(found)} blocks of {document} begin with {begins!r}"
    return found[0]
