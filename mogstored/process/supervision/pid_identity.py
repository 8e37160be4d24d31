"""What the process behind a PID is: whether it may be a node, and how to show it."""

from __future__ import annotations

import os
import sys

from mogstored.log.printable import printable

# Part of the name of every program that serves a docroot of MogileFS: ours, in C, in Perl.
_ANY_NODE = "mogstored"
_MAX_SHOWN = 100


def describe_process(pid: int) -> str:
    """Return the printable command line of a process, or its name; empty if unknown."""
    name, words = _look_at(pid)
    shown = printable(" ".join(words) or name)
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."


def may_be_node(pid: int) -> bool:
    """Return False if neither the name nor the command line of a process is a node's.

    In doubt it is one: if the system does not show them, and if it is an ancestor of this process,
    as a supervisor with another name is.
    """
    name, words = _look_at(pid)
    known = (_ANY_NODE, os.path.basename(sys.argv[0]))
    if not name or pid in _ancestors():
        return True
    return any(each and each in word for each in known for word in (name, *words))


def is_node(pid: int) -> bool:
    """Return True if a process is certainly a node, by its name or the title it has set."""
    name, words = _look_at(pid)
    return any(_ANY_NODE in os.path.basename(word) for word in (name, *words[:1]))


def _ancestors() -> list[int]:
    # Late: only a pidfile that names a process needs it.
    import psutil

    try:
        return [process.pid for process in psutil.Process().parents()]
    except psutil.Error:
        return []


def _look_at(pid: int) -> tuple[str, list[str]]:
    import psutil

    try:
        process = psutil.Process(pid)
        return process.name(), process.cmdline()
    except psutil.Error:
        return "", []
