"""Only `mogpoll.threads` starts threads: refusals are handled in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.project._imports import imports_in, parse
from tests.project._tree import modules_of

STARTS_THREADS = {
    Path("mogpoll/threads.py"): "it is the place",
    Path("mogpoll/probe/waiters.py"): "shows what the kernel does to threads; serves no clients",
}
# Calls that start a thread, and classes of threads.
STARTERS = {"Thread", "Timer", "start_new_thread", "start_joinable_thread", "ThreadPoolExecutor"}
MODULES = {"_thread", "concurrent.futures", "multiprocessing", "socketserver"}


def thread_starts(tree: ast.Module) -> list[str]:
    """Find calls and subclasses of these, and imports that serve only that."""
    found = [f"line {line}: {name}" for line, name in imports_in(tree) if name in MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            used = [node.func, *node.args]
        elif isinstance(node, ast.ClassDef):
            used = node.bases
        else:
            continue
        names = map(ast.unparse, used)
        found += [
            f"line {node.lineno}: {name}" for name in names if name.rpartition(".")[2] in STARTERS
        ]
    return found


MODULES_OF_BOTH = [*modules_of("mogpoll"), *modules_of("mogstored")]


@pytest.mark.parametrize(
    "path", [path for path in MODULES_OF_BOTH if path not in STARTS_THREADS], ids=str
)
def test_module_starts_no_thread_on_its_own(path: Path) -> None:
    assert thread_starts(parse(path)) == []


@pytest.mark.parametrize("path", STARTS_THREADS, ids=str)
def test_exemption_is_needed(path: Path) -> None:
    assert thread_starts(parse(path)) != []


@pytest.mark.parametrize(
    "source",
    [
        "threading.Thread(target=run).start()",
        "Thread(target=run)",
        "class Mine(threading.Thread): pass",
        "threading.Timer(1, run)",
        "partial(threading.Thread, name='x')",
        "_thread.start_new_thread(run, ())",
        "import _thread",
        "from concurrent.futures import ThreadPoolExecutor",
        "import multiprocessing",
    ],
)
def test_every_way_to_start_a_thread_is_noticed(source: str) -> None:
    assert thread_starts(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "self._thread: threading.Thread | None = None",
        "def join(thread: threading.Thread) -> threading.Thread: ...",
        "threading.Lock()",
        "threading.current_thread()",
        "start_thread(run, 'x')",
    ],
)
def test_what_only_speaks_of_threads_is_left_alone(source: str) -> None:
    assert thread_starts(ast.parse(source)) == []
