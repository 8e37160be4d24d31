"""The methods of a pool, of its waker and of epoll's backend, made of steps."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import mogpoll
from tests.mogpoll.explorer.function import Function
from tests.mogpoll.explorer.pool.clients import FUNCTIONS, JOINED, SHARED, SOURCE
from tests.mogpoll.explorer.program import Compiler, methods_of

# The methods that are made of steps, by module and class.
STEPPED = {
    ("pool/table.py", "TaskTable"): (
        "add",
        "_take_back",
        "drop",
        "mark",
        "claim_if_marked",
        "claim_marked",
        "put",
        "await_arming",
    ),
    ("pool/loop.py", "Loop"): ("wake", "_serve", "_close", "_receive_waker"),
    ("waker.py", "Waker"): ("wake", "drain"),
    ("waker.py", "BouncingWaker"): ("receive",),
    ("epoll.py", "EpollPoller"): ("add", "rearm", "forget", "wait"),
}

# The calls of these, as they are written.
_CALLS = {
    "self.add": "TaskTable.add",
    "self._take_back": "TaskTable._take_back",
    "self.drop": "TaskTable.drop",
    "self.mark": "TaskTable.mark",
    "self.claim_if_marked": "TaskTable.claim_if_marked",
    "self.claim_marked": "TaskTable.claim_marked",
    "table.claim_if_marked": "TaskTable.claim_if_marked",
    "self.put": "TaskTable.put",
    "self.await_arming": "TaskTable.await_arming",
    "table.await_arming": "TaskTable.await_arming",
    "self.table.drop": "TaskTable.drop",
    "self._wake": "Loop.wake",
    "self._serve": "Loop._serve",
    "self._close": "Loop._close",
    "self._receive_waker": "Loop._receive_waker",
    "self.waker.wake": "Waker.wake",
    "self.waker.drain": "Waker.drain",
    "self.waker.receive": "BouncingWaker.receive",
    "wait": "EpollPoller.wait",
    "rearm": "EpollPoller.rearm",
    "poller.rearm": "EpollPoller.rearm",
    "self._poller.add": "EpollPoller.add",
    "self._poller.forget": "EpollPoller.forget",
    "task.step": "step",
    "task.close": "bury",
}

# `deadlines` is empty, since no timer runs.
_SHARED = frozenset(
    {"armed", "arming", "take", "queue", "members", "numbers", "marks"}
    | {"_registered", "_poll", "_modify", "register", "unregister"}
    | {"eventfd_read", "eventfd_write"}
)
_ALIASES = frozenset(
    {"table", "crew", "wait", "rearm", "armed", "take", "arming", "queue", "marks", "deadlines"}
)


class Rules(NamedTuple):
    """What makes a step, beside the tables."""

    # Whether tasks come and go: what does not change may be looked at in any step.
    has_comers: bool
    # Whether another thread may have a task before its step has returned.
    has_parked: bool
    # Whether a step begins together with the look for a mark: see `subjects.GAPS`.
    begins_at_once: bool

    def compiler(self) -> Compiler:
        shared = _SHARED | SHARED | {"claim_at_once", "look_at_once"}
        joined = JOINED
        if not self.has_comers:
            shared -= {"members", "numbers", "_registered"}
        if self.has_parked:
            shared, joined = shared | {"end"}, joined - {"end"}
        if self.begins_at_once:
            shared -= {"begin"}
        return Compiler(
            shared, _CALLS, _ALIASES, frozenset({"task"}), frozenset(joined), is_guarded=False
        )


@cache
def methods(source: str, module: str, owner: str, rules: Rules) -> list[Function]:
    """Return the methods of a class, to be bound."""
    (body,) = [
        ast.Module(node.body, [])
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == owner
    ]
    compiler = rules.compiler()
    return [
        compiler.compile(node, {}, f"{owner}.{node.name}")
        for node in methods_of(body, STEPPED[module, owner])
    ]


@cache
def clients(rules: Rules) -> list[Function]:
    """Return what threads run, to be bound."""
    compiler = rules.compiler()
    return [compiler.compile(node, {}) for node in methods_of(ast.parse(SOURCE), FUNCTIONS)]


def listing() -> str:
    """Return the steps of a pool: at each line given begins one, with what follows it."""
    lines = []
    rules = Rules(has_comers=True, has_parked=True, begins_at_once=False)
    for module, owner in STEPPED:
        for function in methods(source_of(module), module, owner, rules):
            lines.append(f"mogpoll/{module}, {function.name}:")
            lines += [f"  {op.line:4}  {op.text}" for op in function.ops if op.is_shared]
    return "\n".join(lines) + "\n"


def source_of(module: str) -> str:
    return (Path(mogpoll.__file__).parent / module).read_text(encoding="utf-8")
