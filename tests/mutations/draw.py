"""All small faults that the syntax trees of the sources allow."""

from __future__ import annotations

import ast
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType

_NEIGHBOURS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_ERRNOS = ("EIO", "ENOENT", "EPIPE", "EINVAL", "ENOSPC", "EBADF")
_LOCK = re.compile(r"lock$|^self\._(changed|closed|condition|news)$", re.IGNORECASE)
_DROPPED = (ast.Expr, ast.Assign, ast.AugAssign, ast.Delete, ast.Raise)
# Tools, and a fake of another system's kernel.
_APART = ("mogpoll/probe/", "mogpoll/testing/", "mogpoll/libkqueue/", "__main__.py")


@dataclass(frozen=True)
class Fault:
    """A range of bytes in a source, and its replacement."""

    module: str
    line: int
    kind: str
    begin: int
    end: int
    old: str
    new: str
    function: str
    """Where it is, with the class: empty where the line runs at import."""
    names: frozenset[str] = frozenset()
    """What a line that runs at import defines."""

    def __str__(self) -> str:
        old, new = shown(self.old), shown(self.new)
        return f"{self.module}:{self.line}: {self.kind}: {old[:60]} -> {new[:60]}"

    def applied(self, source: bytes) -> bytes:
        return source[: self.begin] + self.new.encode() + source[self.end :]


def shown(text: str) -> str:
    """Return a piece of source in one line, its name in reports."""
    return " ".join(text.split())


def modules(root: Path, paths: Sequence[str]) -> list[str]:
    """Return the sources below `paths`, which are files and folders below `root`."""
    found: set[str] = set()
    for path in paths:
        whole = root / path
        if not whole.exists():
            raise SystemExit(f"{path}: no such file or folder below {root}")
        for file in whole.rglob("*.py") if whole.is_dir() else [whole]:
            found.add(file.relative_to(root).as_posix())
    return sorted(name for name in found if not any(part in name for part in _APART))


def draw(root: Path, paths: Sequence[str], count: int, seed: int) -> list[Fault]:
    """Return `count` faults, each in a line of its own; the same for the same seed."""
    chance = random.Random(seed)
    lines: defaultdict[tuple[str, int], list[Fault]] = defaultdict(list)
    for module in modules(root, paths):
        for fault in faults(module, (root / module).read_bytes(), chance):
            lines[module, fault.line].append(fault)
    chosen = chance.sample(sorted(lines), min(count, len(lines)))
    return [chance.choice(lines[place]) for place in chosen]


def faults(module: str, source: bytes, chance: random.Random) -> list[Fault]:
    return list(_Finder(module, source, chance).find())


class _Finder:
    def __init__(self, module: str, source: bytes, chance: random.Random) -> None:
        self._module = module
        self._source = source
        self._chance = chance
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def find(self) -> Iterator[Fault]:
        yield from self._block(ast.parse(self._source).body, "", "")

    def _block(self, body: Sequence[ast.stmt], prefix: str, function: str) -> Iterator[Fault]:
        for statement in body:
            yield from self._statement(statement, prefix, function)

    def _statement(self, statement: ast.stmt, prefix: str, function: str) -> Iterator[Fault]:
        if isinstance(statement, (ast.Import, ast.ImportFrom, ast.Pass, ast.Global, ast.Assert)):
            return
        if isinstance(statement, ast.Expr) and _is_text(statement.value):
            return
        if _is_for_types(statement) or _is_debug(statement):
            return
        if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
            name = prefix + statement.name
            inner = name if isinstance(statement, FUNCTIONS) else function
            yield from self._block(statement.body, f"{name}.", inner)
            return
        names: frozenset[str] = frozenset()
        if not function:
            stored = (
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )
            # What a class has is used by its name.
            names = frozenset((*stored, *filter(None, prefix.split("."))))
        for fault in self._own_faults(statement, function):
            yield Fault(*fault, function, names)
        for field in ("body", "orelse", "finalbody"):
            yield from self._block(getattr(statement, field, []), prefix, function)
        for handler in getattr(statement, "handlers", []):
            yield from self._block(handler.body, prefix, function)
        for case in getattr(statement, "cases", []):
            yield from self._block(case.body, prefix, function)

    def _own_faults(self, statement: ast.stmt, function: str) -> Iterator[_Parts]:
        if function and isinstance(statement, _DROPPED):
            yield self._replace("statement dropped", statement, "pass")
        # A constructor cannot end early: what it leaves out is missed at once.
        is_constructor = not function or function.endswith("__init__")
        may_return = not is_constructor and isinstance(statement, (*_DROPPED, ast.If))
        if may_return and not self._text(statement).startswith("elif"):
            yield self._replace("early return", statement, "return")
        if isinstance(statement, (ast.If, ast.While)):
            yield self._negate(statement.test)
        if isinstance(statement, ast.With) and len(statement.items) == 1:
            item = statement.items[0]
            expression = item.context_expr
            if item.optional_vars is None and _LOCK.search(self._text(expression)):
                begin = self._offset(statement.lineno, statement.col_offset)
                yield self._parts(
                    "lock dropped", statement.lineno, begin, self._ends(expression), "if True"
                )
        if isinstance(statement, ast.Try) and statement.finalbody:
            first, last = statement.finalbody[0], statement.finalbody[-1]
            begin = self._offset(first.lineno, first.col_offset)
            yield self._parts("finally dropped", first.lineno, begin, self._ends(last), "pass")
        for expression in _expressions(statement):
            yield from self._in_expression(expression)

    def _in_expression(self, node: ast.expr) -> Iterator[_Parts]:
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            begin, end = self._ends(node.left), self._begins(node.comparators[0])
            old, new = _NEIGHBOURS[type(node.ops[0])]
            between = self._source[begin:end].decode()
            if between.count(old) == 1:
                yield self._parts("comparison", node.lineno, begin, end, between.replace(old, new))
        elif isinstance(node, ast.IfExp):
            yield self._negate(node.test)
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "errno":
                other = self._chance.choice([name for name in _ERRNOS if name != node.attr])
                yield self._replace("errno swapped", node, f"errno.{other}")
        elif isinstance(node, ast.Constant):
            yield from self._in_constant(node)
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.keyword) and inner.arg == "strict":
                # As an assert: `zip` checks what holds in any case.
                continue
            if isinstance(inner, (ast.expr, ast.keyword, ast.comprehension)):
                for part in [inner] if isinstance(inner, ast.expr) else _expressions(inner):
                    yield from self._in_expression(part)

    def _in_constant(self, node: ast.Constant) -> Iterator[_Parts]:
        value = node.value
        if isinstance(value, bool):
            yield self._replace("constant", node, str(not value))
        elif isinstance(value, int):
            yield self._replace("constant", node, str(value + 1))
        elif isinstance(value, float):
            yield self._replace("constant", node, str(value * 10 if value else 1.0))
        elif isinstance(value, (str, bytes)):
            found = re.match(r"""(b?["'])([1-5]\d\d)(?!\d)""", self._text(node))
            if found:
                status = "418" if found[2] != "418" else "200"
                text = found[1] + status + self._text(node)[found.end() :]
                yield self._replace("status changed", node, text)
            elif isinstance(value, bytes) and value:
                yield self._replace("constant", node, repr(value[:-1]))

    def _negate(self, test: ast.expr) -> _Parts:
        return self._replace("condition negated", test, f"not ({self._text(test)})")

    def _replace(self, kind: str, node: ast.stmt | ast.expr, new: str) -> _Parts:
        return self._parts(kind, node.lineno, self._begins(node), self._ends(node), new)

    def _parts(self, kind: str, line: int, begin: int, end: int, new: str) -> _Parts:
        old = self._source[begin:end].decode()
        return self._module, line, kind, begin, end, old, new

    def _text(self, node: ast.stmt | ast.expr) -> str:
        return self._source[self._begins(node) : self._ends(node)].decode()

    def _begins(self, node: ast.stmt | ast.expr) -> int:
        return self._offset(node.lineno, node.col_offset)

    def _ends(self, node: ast.stmt | ast.expr) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column


_Parts = tuple[str, int, str, int, int, str, str]


def _expressions(node: ast.stmt | ast.keyword | ast.comprehension) -> Iterator[ast.expr]:
    """Yield the expressions that belong to a statement itself, without annotations."""
    for name, value in ast.iter_fields(node):
        if name == "annotation":
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.expr):
                yield part
            elif isinstance(part, ast.withitem):
                yield part.context_expr


def _is_text(node: ast.expr) -> bool:
    """Say whether it is a docstring, or the `...` of a protocol, which is never called."""
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, EllipsisType))


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _is_debug(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("_log.debug(")
