"""A compiled method: its operations, and the locals that are read after each."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any


@dataclass(frozen=True, slots=True)
class Op:
    """One operation; `kind` says how `machine` runs it."""

    kind: str
    line: int
    text: str
    is_shared: bool = False
    # Whether it is in one step with the shared access that follows.
    joins: bool = False
    code: CodeType | None = None
    name: str = ""
    target: int = -1


@dataclass(slots=True)
class Function:
    """A compiled method."""

    name: str
    parameters: tuple[str, ...]
    defaults: tuple[Any, ...]
    # Of its module, with `self`.
    namespace: dict[str, Any]
    ops: list[Op] = field(default_factory=list)
    # For each position, the locals that are read later: others are no part of a state.
    live: list[frozenset[str]] = field(default_factory=list)
    # What gives the namespace its aliases.
    aliases: list[CodeType] = field(default_factory=list)

    def bound(self, namespace: dict[str, Any]) -> Function:
        """Return it for the names of another module, or of another `self`."""
        for code in self.aliases:
            exec(code, namespace)
        return replace(self, namespace=namespace)


def live_locals(ops: list[Op]) -> list[frozenset[str]]:
    """Return the locals that may still be read at each position."""
    handlers = _handlers_at(ops)
    names = [_names_of(op) for op in ops]
    live = [frozenset[str]()] * len(ops)
    before: list[frozenset[str]] = []
    while before != live:
        before = list(live)
        for at, active in handlers.items():
            reads, writes = names[at]
            following = (live[position] for position, _ in _next_of(ops[at], at, active))
            live[at] = frozenset[str]().union(*following) - writes | reads
            if active and ops[at].kind != "jump":
                # Nothing is written by what fails.
                live[at] |= live[active[-1]]
    return live


def _handlers_at(ops: list[Op]) -> dict[int, tuple[int, ...]]:
    """Return the handlers at each position, innermost last: the same on every way there."""
    found: dict[int, tuple[int, ...]] = {}
    to_do: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    while to_do:
        at, active = to_do.pop()
        if at not in found:
            found[at] = active
            to_do += _next_of(ops[at], at, active)
            if active:
                to_do.append((active[-1], active[:-1]))
    return dict(sorted(found.items(), reverse=True))


def _next_of(op: Op, at: int, active: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield where it goes on without an exception, with the handlers there."""
    if op.kind == "guard":
        yield at + 1, (*active, op.target)
        return
    if op.target >= 0:
        yield op.target, active
    if op.kind == "unguard":
        yield at + 1, active[:-1]
    elif op.kind not in ("jump", "return", "raise"):
        yield at + 1, active


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
