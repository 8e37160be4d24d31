"""The comments, docstrings and names of all Python files are in plain words."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator

import pytest

from tests.project._tree import ROOT, modules_of
from tests.project.test_documents import STILTED

PACKAGES = ("mogpoll", "mogstored", "bench", "vm", "packaging", "examples", "tests")
# Names that others chose: file objects have it.
NOT_OURS = {"tell"}


def words_in(source: str) -> Iterator[tuple[int, str]]:
    """Yield comments, docstrings, and names with spaces in them, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
        elif token.type == tokenize.NAME and token.string not in NOT_OURS:
            yield token.start[0], token.string.replace("_", " ")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""


@pytest.mark.parametrize("package", PACKAGES)
def test_words_are_plain(package: str) -> None:
    stilted = [
        f"{path}:{line}: {text}"
        for path in modules_of(package)
        for line, text in words_in((ROOT / path).read_text(encoding="utf-8"))
        if STILTED.search(text)
    ]
    assert stilted == []


@pytest.mark.parametrize(
    "source",
    ["# Nobody reads it.", '"""It was told."""', "def f():\n    'tells'", "told = 1", "is_told()"],
)
def test_stilted_word_is_found(source: str) -> None:
    assert [text for _, text in words_in(source) if STILTED.search(text)]
