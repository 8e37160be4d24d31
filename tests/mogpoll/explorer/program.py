"""Compiles methods into steps: straight code between two accesses to what threads share.

A step begins with one such access: a statement with an attribute or a name in `shared`, with the
lock that is taken before it. Outside of a lock, a statement with two accesses would be two steps
of the interpreter, and is refused. The subset is what the backends use; the rest is refused, too.
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

# They have frames of their own, or leave this one.
_NOT_HERE = (ast.Yield, ast.YieldFrom, ast.Await, ast.Lambda, ast.ListComp, ast.GeneratorExp)


class Unsupported(Exception):
    """The source has a construct that is not compiled."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operation; `kind` says how `machine` runs it."""

    kind: str
    line: int
    text: str
    is_shared: bool = False
    code: CodeType | None = None
    name: str = ""
    target: int = -1


@dataclass(slots=True)
class Function:
    """A compiled method."""

    name: str
    parameters: tuple[str, ...]
    defaults: tuple[Any, ...]
    ops: list[Op] = field(default_factory=list)
    # For each position, the locals that are read later: others are no part of a state.
    live: list[frozenset[str]] = field(default_factory=list)


class Compiler:
    """Compiles the methods of a class; calls of `self` to each other become steps, too."""

    def __init__(self, shared: frozenset[str], stepped: frozenset[str]) -> None:
        self._shared, self._stepped = shared, stepped

    def compile(self, node: ast.FunctionDef, namespace: dict[str, Any]) -> Function:
        names = tuple(argument.arg for argument in node.args.args)
        defaults = tuple(
            eval(compile(ast.Expression(value), node.name, "eval"), namespace)
            for value in node.args.defaults
        )
        body = _Body(self._shared, self._stepped)
        body.block(node.body)
        body.emit("return", node, code=_expression(ast.Constant(None)))
        ops = body.finished()
        return Function(node.name, names[1:], defaults, ops, _liveness(ops))


class _Body:
    def __init__(self, shared: frozenset[str], stepped: frozenset[str]) -> None:
        self._shared, self._stepped = shared, stepped
        self._ops: list[Op] = []
        self._labels: list[int] = []
        # What leaving a block early has to undo, innermost last.
        self._cleanups: list[Callable[[ast.stmt], None]] = []
        self._loops: list[tuple[int, int, int]] = []
        self._locks = self._temporaries = 0

    def finished(self) -> list[Op]:
        """Return the operations, with jumps to positions instead of labels."""
        return [
            Op(o.kind, o.line, o.text, o.is_shared, o.code, o.name, self._labels[o.target])
            if o.target >= 0
            else o
            for o in self._ops
        ]

    def emit(
        self,
        kind: str,
        node: ast.AST,
        *,
        code: CodeType | None = None,
        name: str = "",
        target: int = -1,
        touched: ast.AST | None = None,
    ) -> None:
        count = self._accesses(touched) if touched is not None else 0
        if count > 1 and not self._locks:
            raise Unsupported(f"two shared accesses in one step: {ast.unparse(node)}")
        is_shared = bool(count) or kind == "acquire"
        text = ast.unparse(node).partition("\n")[0]
        line = getattr(node, "lineno", 0)
        self._ops.append(Op(kind, line, text, is_shared, code, name, target))

    def _accesses(self, node: ast.AST) -> int:
        return sum(
            (isinstance(part, ast.Attribute) and part.attr in self._shared)
            or (isinstance(part, ast.Name) and part.id in self._shared)
            for part in ast.walk(node)
        )

    def _label(self) -> int:
        self._labels.append(-1)
        return len(self._labels) - 1

    def _place(self, label: int) -> None:
        self._labels[label] = len(self._ops)

    def block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            compiled = getattr(self, f"_{type(statement).__name__.lower()}", None)
            if compiled is None or any(
                isinstance(part, _NOT_HERE) for part in ast.walk(statement)
            ):
                raise Unsupported(ast.unparse(statement))
            compiled(statement)

    # Statements

    def _expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self._simple(node)

    def _simple(self, node: ast.stmt) -> None:
        node = self._hoisted(node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Name):
            return
        self.emit("run", node, code=_statement(node), touched=node)

    _assign = _annassign = _augassign = _delete = _assert = _simple

    def _pass(self, _node: ast.Pass) -> None:
        return

    def _hoisted(self, node: Any) -> Any:
        """Emit the calls of compiled methods in it; return it with their results instead."""
        if not any(self._is_stepped(part) for part in ast.walk(node)):
            return node
        if any(isinstance(part, ast.BoolOp | ast.IfExp) for part in ast.walk(node)):
            raise Unsupported(f"a call that may be skipped: {ast.unparse(node)}")
        return _Hoist(self).visit(node)

    def _is_stepped(self, node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "self"
            and node.func.attr in self._stepped
        )

    def call(self, node: ast.Call) -> str:
        assert isinstance(node.func, ast.Attribute)
        result = self._temporary()
        arguments = ast.Tuple(list(node.args), ast.Load())
        names = ast.Tuple([ast.Constant(word.arg) for word in node.keywords], ast.Load())
        values = ast.Tuple([word.value for word in node.keywords], ast.Load())
        packed = ast.Tuple([arguments, names, values], ast.Load())
        name = f"{node.func.attr} {result}"
        self.emit("call", node, code=_expression(packed), name=name, touched=packed)
        return result

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"_t{self._temporaries}"

    def _if(self, node: ast.If) -> None:
        otherwise, end = self._label(), self._label()
        self._test(node.test, otherwise)
        self.block(node.body)
        self.emit("jump", node, target=end)
        self._place(otherwise)
        self.block(node.orelse)
        self._place(end)

    def _test(self, test: ast.expr, otherwise: int) -> None:
        test = self._hoisted(test)
        self.emit("test", test, code=_expression(test), target=otherwise, touched=test)

    def _while(self, node: ast.While) -> None:
        start, end = self._label(), self._label()
        self._place(start)
        if not (isinstance(node.test, ast.Constant) and node.test.value):
            self._test(node.test, end)
        self._loops.append((start, end, len(self._cleanups)))
        self.block(node.body)
        self._loops.pop()
        self.emit("jump", node, target=start)
        self._place(end)

    def _for(self, node: ast.For) -> None:
        items, at = self._temporary(), self._temporary()
        start, following, end = self._label(), self._label(), self._label()
        self._text(f"{items} = tuple({ast.unparse(node.iter)}); {at} = 0", node, node.iter)
        self._place(start)
        test = _parsed(f"{at} < len({items})")
        self.emit("test", node, code=_expression(test), target=end)
        self._text(f"{ast.unparse(node.target)} = {items}[{at}]", node)
        self._loops.append((following, end, len(self._cleanups)))
        self.block(node.body)
        self._loops.pop()
        self._place(following)
        self._text(f"{at} += 1", node)
        self.emit("jump", node, target=start)
        self._place(end)

    def _text(self, text: str, node: ast.stmt, touched: ast.AST | None = None) -> None:
        self.emit("run", node, code=compile(text, "step", "exec"), touched=touched)

    def _continue(self, node: ast.Continue) -> None:
        start, _, depth = self._loops[-1]
        self._undo(node, depth)
        self.emit("jump", node, target=start)

    def _break(self, node: ast.Break) -> None:
        _, end, depth = self._loops[-1]
        self._undo(node, depth)
        self.emit("jump", node, target=end)

    def _return(self, node: ast.Return) -> None:
        value = self._hoisted(node.value or ast.Constant(None))
        if not self._cleanups:
            self.emit("return", node, code=_expression(value), touched=value)
            return
        result = self._temporary()
        statement = ast.Assign([ast.Name(result, ast.Store())], value)
        code = _statement(ast.copy_location(statement, node))
        self.emit("run", node, code=code, touched=value)
        self._undo(node, 0)
        self.emit("return", node, code=_expression(ast.Name(result, ast.Load())))

    def _undo(self, node: ast.stmt, depth: int) -> None:
        kept = list(self._cleanups)
        while len(self._cleanups) > depth:
            self._cleanups.pop()(node)
        self._cleanups = kept

    def _raise(self, node: ast.Raise) -> None:
        code = _expression(node.exc) if node.exc else None
        self.emit("raise", node, code=code, touched=node.exc)

    def _with(self, node: ast.With) -> None:
        (item,) = node.items
        if not isinstance(item.context_expr, ast.Attribute) or item.optional_vars:
            raise Unsupported(ast.unparse(item))
        lock = item.context_expr.attr
        failed, end = self._label(), self._label()
        self.emit("acquire", node, name=lock)
        self.emit("guard", node, target=failed)

        def leave(at: ast.stmt) -> None:
            self.emit("unguard", at)
            self.emit("release", at, name=lock)

        self._cleanups.append(leave)
        self._locks += 1
        self.block(node.body)
        self._locks -= 1
        self._cleanups.pop()(node)
        self.emit("jump", node, target=end)
        self._place(failed)
        self.emit("release", node, name=lock)
        self.emit("raise", node)
        self._place(end)

    def _try(self, node: ast.Try) -> None:
        if node.finalbody:
            self._finally(node)
            return
        failed, end = self._label(), self._label()
        self.emit("guard", node, target=failed)
        self._cleanups.append(lambda at: self.emit("unguard", at))
        self.block(node.body)
        self._cleanups.pop()(node)
        self.block(node.orelse)
        self.emit("jump", node, target=end)
        self._place(failed)
        for handler in node.handlers:
            otherwise = self._label()
            code = _expression(handler.type or ast.Name("BaseException", ast.Load()))
            self.emit("match", handler, code=code, name=handler.name or "", target=otherwise)
            self.block(handler.body)
            self.emit("handled", handler)
            self.emit("jump", handler, target=end)
            self._place(otherwise)
        self.emit("raise", node)
        self._place(end)

    def _finally(self, node: ast.Try) -> None:
        failed, end = self._label(), self._label()
        self.emit("guard", node, target=failed)

        def leave(at: ast.stmt) -> None:
            self.emit("unguard", at)
            self.block(node.finalbody)

        self._cleanups.append(leave)
        inner = ast.Try(node.body, node.handlers, node.orelse, [])
        self.block([ast.copy_location(inner, node)] if node.handlers else node.body)
        self._cleanups.pop()(node)
        self.emit("jump", node, target=end)
        self._place(failed)
        self.block(node.finalbody)
        self.emit("raise", node)
        self._place(end)


class _Hoist(ast.NodeTransformer):
    def __init__(self, body: _Body) -> None:
        self._body = body

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not self._body._is_stepped(node):
            return node
        return ast.copy_location(ast.Name(self._body.call(node), ast.Load()), node)


def _liveness(ops: list[Op]) -> list[frozenset[str]]:
    """Return the live locals at each position; an exception may go to any handler."""
    handlers = [op.target for op in ops if op.kind == "guard"]
    live = [frozenset[str]()] * (len(ops) + 1)
    before: list[frozenset[str]] = []
    while before != live:
        before = list(live)
        for at in reversed(range(len(ops))):
            op = ops[at]
            reads, writes = _names_of(op)
            following = set(handlers)
            if op.kind != "jump":
                following.add(at + 1)
            if op.target >= 0:
                following.add(op.target)
            later = frozenset[str]().union(*(live[position] for position in following))
            live[at] = (later - writes) | reads
    return live


def _names_of(op: Op) -> tuple[frozenset[str], frozenset[str]]:
    reads, writes = set(), set()
    for instruction in dis.get_instructions(op.code) if op.code else ():
        if instruction.opname == "LOAD_NAME":
            reads.add(instruction.argval)
        elif instruction.opname == "STORE_NAME":
            writes.add(instruction.argval)
    if op.kind == "call":
        writes.add(op.name.split()[1])
    return frozenset(reads), frozenset(writes - reads)


def methods_of(source: str, names: Collection[str]) -> Iterator[ast.FunctionDef]:
    """Yield the functions of those names, wherever they stand in a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield node


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _expression(node: ast.expr) -> CodeType:
    return compile(ast.fix_missing_locations(ast.Expression(node)), "step", "eval")


def _statement(node: ast.stmt) -> CodeType:
    return compile(ast.fix_missing_locations(ast.Module([node], [])), "step", "exec")
