"""mogpoll knows nothing of mogstored, and mogstored asks nobody which system this is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project._tree import ROOT, modules_of

# What a system offers and what its files look like is asked here and nowhere else in the node.
MAY_ASK_FOR_THE_SYSTEM = {
    Path("mogstored/storage/mounts.py"): "each system lists its mounts in its own way",
    Path("mogstored/storage/utilization.py"): "iostat prints differently on each system",
}
SYSTEM_NAMES = {("sys", "platform"), ("os", "name"), ("os", "uname")}
KERNEL_MODULES = {"select", "selectors"}


def imported_modules(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"}:
            for argument in node.args[:1]:
                yield node.lineno, ast.unparse(argument).strip("'\"")


def imports_of(tree: ast.Module, package: str) -> list[str]:
    """Find the imports of the package, however they are written."""
    return [
        f"line {line}: {name}"
        for line, name in imported_modules(tree)
        if name.lstrip(".").split(".")[0] == package
    ]


def questions_about_the_system(tree: ast.Module) -> list[str]:
    """Find where the code asks what it runs on, by name or by feature of `select`."""
    found = [
        f"line {line}: import of {name}"
        for line, name in imported_modules(tree)
        if name == "platform"
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in SYSTEM_NAMES:
                found.append(f"line {node.lineno}: {node.value.id}.{node.attr}")
        elif isinstance(node, ast.ImportFrom):
            found += [
                f"line {node.lineno}: {node.module}.{alias.name}"
                for alias in node.names
                if (node.module, alias.name) in SYSTEM_NAMES
            ]
        elif isinstance(node, ast.Call) and _called(node) in {"hasattr", "getattr"}:
            asked = node.args[0] if node.args else None
            if isinstance(asked, ast.Name) and asked.id in KERNEL_MODULES:
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


@pytest.mark.parametrize("path", modules_of("mogpoll"), ids=str)
def test_mogpoll_imports_nothing_of_mogstored(path: Path) -> None:
    assert imports_of(parse(path), "mogstored") == []


@pytest.mark.parametrize(
    "path",
    [path for path in modules_of("mogstored") if path not in MAY_ASK_FOR_THE_SYSTEM],
    ids=str,
)
def test_mogstored_does_not_ask_which_system_this_is(path: Path) -> None:
    assert questions_about_the_system(parse(path)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import mogstored",
        "import mogstored.http.ranges as ranges",
        "from mogstored import cli",
        "from mogstored.http import get",
        "from ..mogstored import cli",
        "def late():\n    import mogstored",
        "importlib.import_module('mogstored.cli')",
    ],
)
def test_every_way_to_import_is_noticed(source: str) -> None:
    assert len(imports_of(ast.parse(source), "mogstored")) == 1


@pytest.mark.parametrize(
    "source",
    [
        "if sys.platform == 'linux': pass",
        "x = os.name",
        "os.uname().sysname",
        "from sys import platform",
        "from os import name as system",
        "import platform",
        "from platform import system",
        "hasattr(select, 'epoll')",
        "getattr(select, 'kqueue', None)",
    ],
)
def test_every_way_to_ask_for_the_system_is_noticed(source: str) -> None:
    assert len(questions_about_the_system(ast.parse(source))) == 1


@pytest.mark.parametrize(
    "source",
    ["import select", "entry.name", "request.platform", "hasattr(device, 'name')", "os.open"],
)
def test_harmless_code_is_left_alone(source: str) -> None:
    assert questions_about_the_system(ast.parse(source)) == []
