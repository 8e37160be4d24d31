"""The imports of a module: at the top, late, relative, or for types only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.project._tree import ROOT


class Import(NamedTuple):
    """A module that is imported, and the line that does it."""

    line: int
    name: str


def parse(path: Path) -> ast.Module:
    """Parse a file named from the checkout's root."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    """Return the dotted name of a file; a package's own for its `__init__.py`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports_in(tree: ast.Module, package: str = "") -> Iterator[Import]:
    """Yield the imports of a module that lies in `package`.

    `from a import b` yields a.b where that is a module of the checkout, else a.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node.module or "", node.level, package)
            yield from (Import(node.lineno, name) for name in _targets(origin, node.names))
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            for argument in node.args[:1]:
                yield Import(node.lineno, ast.unparse(argument).strip("'\""))


def called(node: ast.Call) -> str:
    """Return the last part of the called name."""
    return ast.unparse(node.func).rpartition(".")[2]


def _absolute(name: str, level: int, package: str) -> str:
    if not level:
        return name
    base = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join(filter(None, [*base, name]))


def _targets(origin: str, names: list[ast.alias]) -> set[str]:
    return {full if _is_module(full := f"{origin}.{a.name}") else origin for a in names}


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
