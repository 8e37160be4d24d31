"""Attributes of a class that are used under one of its locks, and changed without one."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

_LOCKS = {"Lock", "RLock", "Condition"}
# Methods of containers, and those of conditions that raise without the lock.
_CHANGING = re.compile(
    "add|append(left)?|clear|discard|extend|insert|pop(item|left)?|remove|setdefault|update"
    "|notify(_all)?|wait(_for)?"
)
# As a class says it of its lock.
_GUARDED = re.compile(r"guards (`\w+`(?:(?:,| and|, and)\s+`\w+`)*)")
_ITERATING = {"dict", "frozenset", "list", "set", "sorted", "tuple"}


@dataclass
class Uses:
    """The methods that use an attribute with a lock held, and those that change it without."""

    locked: set[str] = field(default_factory=set)
    bare: set[str] = field(default_factory=set)


def uses_in(cls: ast.ClassDef) -> dict[str, Uses]:
    """Return the uses of each attribute, outside of the constructor.

    A lock is held in a `with`, and in a `try` that releases it in the end. It is held by a private
    method that is called with it everywhere, and by one whose docstring says that its caller holds
    it. What is called with it in some places only counts as both. What the docstring of the class
    says to be guarded is as if used with it.
    """
    methods = [node for node in cls.body if isinstance(node, ast.FunctionDef)]
    locks = {name for method in methods for name in _locks_made(method)}
    found: defaultdict[str, Uses] = defaultdict(Uses)
    if not locks:
        return found
    for names in _GUARDED.findall(ast.get_docstring(cls) or ""):
        for name in names.strip("`").split("`")[::2]:
            found[name].locked.add("the docstring")
    calls: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)
    uses: list[tuple[str, str, bool]] = []
    for method in methods:
        if method.name == "__init__":
            continue
        for node, is_held in _walk(method.body, locks, False):
            if (called := _own(getattr(node, "func", None))) is not None:
                calls[called].append((method.name, is_held))
            uses += [(name, method.name, is_held) for name in _changed(node)]
            if is_held and isinstance(node, ast.Attribute) and (name := _own(node)) is not None:
                uses.append((name, method.name, True))
    documented = {
        each.name for each in methods if "caller holds" in (ast.get_docstring(each) or "")
    }
    holding = set(documented)
    while True:
        more = {
            name
            for name, sites in calls.items()
            if name.startswith("_") and all(held or by in holding for by, held in sites)
        }
        if more <= holding:
            break
        holding |= more
    for name in documented & calls.keys():
        uses += [(f"{name}()", by, held) for by, held in calls[name]]
        found[f"{name}()"].locked.add(name)
    sometimes = {
        name for name, sites in calls.items() if any(held or by in holding for by, held in sites)
    }
    for name, method_name, is_held in uses:
        if is_held or method_name in sometimes | holding:
            found[name].locked.add(method_name)
        if not is_held and method_name not in holding:
            found[name].bare.add(method_name)
    return found


def as_class(module: ast.Module, name: str) -> ast.ClassDef:
    """Return the functions of a module as methods, and its variables as attributes."""
    made = [node for node in module.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    targets = [
        target
        for node in made
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    constructor = ast.parse("def __init__(self): pass").body[0]
    assert isinstance(constructor, ast.FunctionDef)
    constructor.body = list(made)
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    docstring = [node for node in module.body[:1] if isinstance(node, ast.Expr)]
    cls = ast.ClassDef(name, [], [], [*docstring, constructor, *functions], [])
    return _Globals(names).visit(cls)  # type: ignore[no-any-return]


class _Globals(ast.NodeTransformer):
    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._names:
            return node
        return ast.Attribute(ast.Name("self", ast.Load()), node.id, node.ctx)


def locks_without_use(cls: ast.ClassDef) -> set[str]:
    """Return the locks that the class makes for itself and never holds."""
    made = {
        name
        for method in cls.body
        if isinstance(method, ast.FunctionDef)
        for name in _locks_made(method)
    }
    used = {
        node.attr
        for part in ast.walk(cls)
        if isinstance(part, (ast.withitem, ast.Call))
        for node in ast.walk(part)
        if isinstance(node, ast.Attribute)
    }
    return {name for name in made - used if name.startswith("_")}


def _locks_made(method: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(method):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                pass
            case ast.Assign(targets=targets, value=value):
                values = [value]
            case _:
                continue
        for target, value in zip(targets, values, strict=False):
            match value:
                case ast.Call(func=ast.Attribute(attr=kind)) if kind in _LOCKS:
                    if (name := _own(target)) is not None:
                        yield name


def _walk(body: list[ast.stmt], locks: set[str], is_held: bool) -> Iterator[tuple[ast.AST, bool]]:
    for statement in body:
        yield from _walk_node(statement, locks, is_held)


def _walk_node(node: ast.AST, locks: set[str], is_held: bool) -> Iterator[tuple[ast.AST, bool]]:
    yield node, is_held
    if isinstance(node, ast.With):
        held = is_held or any(_own(item.context_expr) in locks for item in node.items)
        for item in node.items:
            yield from _walk_node(item, locks, is_held)
        yield from _walk(node.body, locks, held)
        return
    if isinstance(node, ast.Try) and any(_released(each) in locks for each in node.finalbody):
        yield from _walk([*node.body, *node.orelse], locks, True)
        for handler in node.handlers:
            yield from _walk(handler.body, locks, True)
        yield from _walk(node.finalbody, locks, is_held)
        return
    for child in ast.iter_child_nodes(node):
        yield from _walk_node(child, locks, is_held)


def _released(statement: ast.stmt) -> str | None:
    match statement:
        case ast.Expr(ast.Call(ast.Attribute(value, "release"))):
            return _own(value)
    return None


def _changed(node: ast.AST) -> Iterator[str]:
    targets: list[ast.expr] = []
    match node:
        case ast.Assign() | ast.Delete():
            targets = node.targets
        case ast.AugAssign() | ast.AnnAssign():
            targets = [node.target]
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if _CHANGING.fullmatch(attr):
            targets = [value]
        case ast.Call(func=ast.Name(id=name), args=[source]) if name in _ITERATING:
            targets = [source]
        case ast.For(iter=source) | ast.comprehension(iter=source) | ast.Starred(value=source):
            # Raises when another thread changes it meanwhile.
            match source:
                case ast.Call(func=ast.Attribute(value=source, attr="items" | "values" | "keys")):
                    pass
            targets = [source]
    for target in targets:
        for part in target.elts if isinstance(target, ast.Tuple) else [target]:
            changed = _own(part)
            while changed is None and isinstance(part, (ast.Attribute, ast.Subscript)):
                # A part of what it holds.
                part = part.value
                changed = _own(part)
            if changed is not None:
                yield changed


def _own(node: ast.AST | None) -> str | None:
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return None
