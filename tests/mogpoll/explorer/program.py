"""Compiles methods into steps: straight code between two accesses to what threads share.

A step begins with one such access: a statement with an attribute or a name in `shared`, with the
lock that is taken before it. A statement with two accesses would be two steps of the interpreter:
an `and` or `or` is split between its parts, and the rest is refused, outside of a lock that guards
them. The subset is what the backends and the pool use; what else there is, is refused, too.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any

from tests.mogpoll.explorer.function import Function, Op, live_locals

# They have frames of their own, or leave this one.
_NOT_HERE = (ast.Yield, ast.YieldFrom, ast.Await, ast.Lambda, ast.ListComp, ast.GeneratorExp)


class Unsupported(Exception):
    """The source has a construct that is not compiled."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles methods; their calls of each other become steps, too.

    `stepped` has the names of the compiled ones, by the text of a call before its parentheses.
    An object of `passed` is a local, and the first argument of its methods. `aliases` are locals
    that are one object for ever. The locks of `self` guard what is shared, if `is_guarded`.
    What is named in `joined` is in one step with the access that follows.
    """

    shared: frozenset[str]
    stepped: Mapping[str, str]
    aliases: frozenset[str] = frozenset()
    passed: frozenset[str] = frozenset()
    joined: frozenset[str] = frozenset()
    is_guarded: bool = True

    def compile(
        self, node: ast.FunctionDef, namespace: dict[str, Any], name: str = ""
    ) -> Function:
        """Its aliases are not there before it is `bound`."""
        names = tuple(argument.arg for argument in node.args.args)
        defaults = tuple(
            eval(compile(ast.Expression(value), node.name, "eval"), namespace)
            for value in node.args.defaults
        )
        body = _Body(self)
        body.block(node.body)
        body.emit("return", node, code=_expression(ast.Constant(None)))
        ops = body.finished()
        live = live_locals(ops)
        parameters = names[1:]
        return Function(
            name or node.name, parameters, defaults, namespace, ops, live, body.aliases
        )


class _Body:
    def __init__(self, rules: Compiler) -> None:
        self._rules = rules
        self.aliases: list[CodeType] = []
        self._ops: list[Op] = []
        self._labels: list[int] = []
        # What leaving a block early has to undo, innermost last.
        self._cleanups: list[Callable[[ast.stmt], None]] = []
        self._loops: list[tuple[int, int, int]] = []
        self._locks = self._temporaries = 0

    def finished(self) -> list[Op]:
        """Return the operations, with jumps to positions instead of labels."""
        return [
            replace(op, target=self._labels[op.target]) if op.target >= 0 else op
            for op in self._ops
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
        if count > 1 and not (self._locks and self._rules.is_guarded):
            raise Unsupported(f"two shared accesses in one step: {ast.unparse(node)}")
        joins = kind == "acquire" or bool(
            touched is not None and self._occurrences(touched, self._rules.joined)
        )
        text = ast.unparse(node).partition("\n")[0]
        line = getattr(node, "lineno", 0)
        self._ops.append(Op(kind, line, text, bool(count) or joins, joins, code, name, target))

    def _accesses(self, node: ast.AST) -> int:
        return self._occurrences(node, self._rules.shared)

    @staticmethod
    def _occurrences(node: ast.AST, names: frozenset[str]) -> int:
        return sum(
            (isinstance(part, ast.Attribute) and part.attr in names)
            or (isinstance(part, ast.Name) and part.id in names)
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

    _augassign = _delete = _assert = _simple

    def _annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assign(ast.copy_location(ast.Assign([node.target], node.value), node))

    def _assign(self, node: ast.Assign) -> None:
        stored = {
            part.id
            for target in node.targets
            for part in ast.walk(target)
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
        }
        if stored and stored <= self._rules.aliases:
            self.aliases.append(_statement(node))
        elif stored & self._rules.aliases:
            raise Unsupported(f"another object for an alias: {ast.unparse(node)}")
        else:
            self._simple(node)

    def _pass(self, _node: ast.Pass) -> None:
        return

    def _hoisted(self, node: Any) -> Any:
        """Emit the calls of compiled methods in it; return it with their results instead."""
        if not self._has_call(node):
            return node
        for part in ast.walk(node):
            if isinstance(part, ast.BoolOp | ast.IfExp) and self._has_call(part):
                raise Unsupported(f"a call that may be skipped: {ast.unparse(node)}")
        return _Hoist(self).visit(node)

    def _has_call(self, node: ast.AST) -> bool:
        return any(map(self.is_stepped, ast.walk(node)))

    def is_stepped(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and ast.unparse(node.func) in self._rules.stepped

    def call(self, node: ast.Call) -> str:
        result = self._temporary()
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        is_passed = isinstance(owner, ast.Name) and owner.id in self._rules.passed
        arguments = ast.Tuple([*([owner] if owner and is_passed else ()), *node.args], ast.Load())
        names = ast.Tuple([ast.Constant(word.arg) for word in node.keywords], ast.Load())
        values = ast.Tuple([word.value for word in node.keywords], ast.Load())
        packed = ast.Tuple([arguments, names, values], ast.Load())
        name = f"{self._rules.stepped[ast.unparse(node.func)]} {result}"
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
        """Go on if `test` is true."""
        inner = test.operand if isinstance(test, ast.UnaryOp) else test
        if isinstance(inner, ast.BoolOp) and (self._has_call(inner) or self._accesses(inner) > 1):
            is_not = inner is not test
            parts = [ast.UnaryOp(ast.Not(), each) if is_not else each for each in inner.values]
            if isinstance(inner.op, ast.And) != is_not:
                for part in parts:
                    self._test(part, otherwise)
                return
            met = self._label()
            for part in parts[:-1]:
                self._test(ast.UnaryOp(ast.Not(), part), met)
            self._test(parts[-1], otherwise)
            self._place(met)
            return
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
            self._cleanups.append(lambda at: self.emit("handled", at))
            self.block(handler.body)
            self._cleanups.pop()(node)
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
        if not self._body.is_stepped(node):
            return node
        return ast.copy_location(ast.Name(self._body.call(node), ast.Load()), node)


def methods_of(source: ast.AST, names: Collection[str]) -> Iterator[ast.FunctionDef]:
    """Yield the functions of those names, wherever they stand in the source."""
    for node in ast.walk(source):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield node


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _expression(node: ast.expr) -> CodeType:
    return compile(ast.fix_missing_locations(ast.Expression(node)), "step", "eval")


def _statement(node: ast.stmt) -> CodeType:
    return compile(ast.fix_missing_locations(ast.Module([node], [])), "step", "exec")
