"""Attributes used under a lock are always changed under it, so a removed lock shows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.project._tree import ROOT, modules_of
from tests.project.guarded import Uses, as_class, locks_without_use, uses_in

# Changed or iterated without the lock, and why that is safe.
EXCEPTIONS = {
    "AccessLog._trouble": "a word of the log thread; others read it whole",
    "SlotAllocator.devices": "grows while the server is made, before there is another thread",
    "TaskTable._is_closed": "set once, before the lock is waited for: a stop keeps its limit",
    "TaskTable.armed": "single operations of a dict; taking a task out is the claim",
    "TaskTable.queue": "single operations of a deque",
    "TaskTable.members": "single operations of a dict",
    "TaskTable.numbers": "single operations of a set",
    "TaskTable.marks": "single operations of a dict; a mark that comes late is taken back",
    "TaskTable.deadlines": "single operations of a dict, by the owner of the task",
    "Timers._deadlines": "single operations of a dict, by the owner of the task",
    "children._own": "single operations of a set; a start that hangs holds the lock for ever",
    "forking._alive": "after a fork there is one thread, and the lock is held since before",
    "KqueuePoller._armed": "single operations of a dict; taking a serial out is the claim",
}


def test_attributes_are_changed_under_the_lock_that_guards_them() -> None:
    found: dict[str, Uses] = {}
    for node in classes_and_modules():
        for name, uses in uses_in(node).items():
            if uses.locked and uses.bare:
                found[f"{node.name}.{name}"] = uses
    assert found.keys() == EXCEPTIONS.keys(), found


def test_each_lock_of_a_class_is_held_somewhere() -> None:
    nodes = classes_and_modules()
    found = {node.name: locks for node in nodes if (locks := locks_without_use(node))}
    assert found == {}


def classes_and_modules() -> Iterator[ast.ClassDef]:
    for module in [*modules_of("mogpoll"), *modules_of("mogstored")]:
        tree = ast.parse((ROOT / module).read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield node
        yield as_class(tree, Path(module).stem)


def uses(text: str) -> dict[str, tuple[set[str], set[str]]]:
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.ClassDef)
    return {name: (it.locked, it.bare) for name, it in uses_in(node).items()}


def test_uses_are_seen() -> None:
    assert uses(
        """
class Queue:
    "`_lock` guards `_items`, and `_last`."

    def __init__(self):
        self._lock = threading.Lock()
        self._items = []

    def put(self, item):
        with self._lock:
            self._items.append(item)
            self._note()

    def put_first(self, item):
        self._lock.acquire()
        try:
            self._items.insert(0, item)
        finally:
            self._lock.release()

    def take(self):
        return self._items.pop()

    def note_last(self):
        self._last.item.count = 1

    def flush(self):
        self._trim()

    def flush_soon(self):
        with self._lock:
            self._trim()

    def _trim(self):
        del self._old[:]

    def clear(self):
        "The caller holds the lock."
        self._items.clear()

    def _note(self):
        self._count += 1
"""
    ) == {
        "_items": ({"put", "put_first", "clear", "the docstring"}, {"take"}),
        "_note": ({"put"}, set()),
        "_last": ({"the docstring"}, {"note_last"}),
        "_trim": ({"flush_soon"}, set()),
        "_old": ({"_trim"}, {"_trim"}),
        "_count": ({"_note"}, set()),
    }
