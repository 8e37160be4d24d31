"""Which tests reach the line of a fault: the suite runs once, with a mark before each such line.

A mark knows its test by the variable that pytest keeps in the environment, which a node inherits
from the test that started it. What runs in pytest's own process is known by test, what runs in a
node by file.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from tests.mogpoll.explorer import subjects
from tests.mogpoll.explorer.pool import methods
from tests.mutations.draw import FUNCTIONS, Fault
from tests.mutations.trees import Tree

_LIMIT_S = 3600
# They test sources and documents, or the checks themselves.
# A browser takes more address space than a tree's tests may have.
_APART = (
    "tests/project",
    "tests/vm",
    "tests/mogpoll/test_faults.py",
    "tests/mogstored/browser",
)
# These read the source, where no mark is reached. Races are rare in short runs.
_GUARDED = "tests/project/test_guarded.py"
# Its other tests fail for each change of the source.
_EXPLORER = "tests/mogpoll/explorer/"
_EXPLORED = (
    f"{_EXPLORER}test_explorer.py::test_claim_holds_in_every_interleaving",
    f"{_EXPLORER}pool/test_explorer_pool.py::test_no_call_is_lost_in_any_interleaving",
)
# Words that say nothing about what a test of a node is about.
_NO_TOPIC = {"test", "mogstored", "mogpoll", "system", "unit", "http", "file", "init"}
_IMPORTED = """
try:
    from _reached import reached as _reached
except ImportError:
    def _reached(number): pass
"""
# The first time in a process for each test. What fails is tried again the next time.
_MARK = """
import sys
from os import O_APPEND, O_WRONLY, close, environ, open, write
seen = set()
def reached(number):
    test = environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if not test or (number, test) in seen:
        return
    kind = "test" if "_pytest" in sys.modules else "node"
    try:
        file = open(f"{FOLDER}/{number}", O_WRONLY | O_APPEND)
        try:
            write(file, f"{kind} {test}\\n".encode())
        finally:
            close(file)
        seen.add((number, test))
    except Exception:
        pass
"""


@dataclass(frozen=True)
class Test:
    """An argument for pytest."""

    name: str
    seconds: float
    in_process: bool


def tests_for(tree: Tree, faults: Sequence[Fault], suite: Sequence[str]) -> list[list[Test]]:
    """Return the tests that reach each fault's line, the likeliest to notice it first.

    Unit tests of its module come first, then other tests in the process of pytest, then those
    of nodes whose file is named after what the module, the function or the line is about.
    Among equals the cheapest comes first: it reaches little else.

    Args:
        suite: the files and folders of tests that are run, or none for all.
    """
    marked = tree.copy(tree.root.with_name("marked"))
    folder = marked.root.with_name("reached")
    folder.mkdir()
    # Some nodes become another user.
    for number in range(len(faults)):
        (folder / str(number)).touch()
        (folder / str(number)).chmod(0o666)
    (marked.root / "_reached.py").write_text(f"FOLDER = {str(folder)!r}\n{_MARK}")
    _mark(marked.root, faults)
    report = folder / "junit.xml"
    print(f"running the tests once, to see which reach {len(faults)} lines", flush=True)
    status, output = marked.pytest(
        ["-n4", "--dist=loadfile", "--max-worker-restart=0", f"--junitxml={report}"]
        + [f"--ignore={name}" for name in _APART]
        + [*suite],
        _LIMIT_S,
    )
    if not report.exists():
        raise SystemExit(f"the suite ended with status {status}:\n{output[-2000:]}")
    for line in output.splitlines():
        # A mark is in the way of those that read the source.
        if line.startswith(("FAILED ", "ERROR ")):
            print(line[:160])
    print(output.splitlines()[-1], flush=True)
    seconds = _seconds(tree.root, report)
    return [
        _ranked(tree.root, fault, (folder / str(number)).read_text().splitlines(), seconds)
        for number, fault in enumerate(faults)
    ]


def _ranked(
    root: Path, fault: Fault, reached: Iterable[str], seconds: dict[str, float]
) -> list[Test]:
    found: dict[str, Test] = {}
    for line in reached:
        kind, _, name = line.partition(" ")
        in_process = kind == "test"
        name = name.partition("[")[0] if in_process else name.partition("::")[0]
        found[name] = Test(name, seconds.get(name, 0.0), in_process)
    # The whole file is one of its tests' names, when a node of that file reaches the line too.
    chosen = [
        test
        for test in found.values()
        if not test.name.startswith(_EXPLORER)
        and (not test.in_process or test.name.partition("::")[0] not in found)
    ]
    unit = _unit_tests(fault.module)
    line = (root / fault.module).read_text().splitlines()[fault.line - 1]
    about = _words(fault.module) | _words(fault.function) | _words(line)

    def rank(test: Test) -> tuple[float, ...]:
        name = test.name.partition("::")[0]
        if test.in_process:
            return 0, not name.startswith(unit), test.seconds
        return 1, -len(about & _words(name)), test.seconds

    return [*_readers(fault), *sorted(chosen, key=rank)]


def _readers(fault: Fault) -> Iterator[Test]:
    if fault.kind == "lock dropped":
        yield Test(_GUARDED, 0.0, in_process=True)
    explored = {*subjects.STEPPED, *(module for module, _ in methods.STEPPED)}
    if fault.module.removeprefix("mogpoll/") in explored:
        yield from (Test(name, 0.0, in_process=True) for name in _EXPLORED)


def _unit_tests(module: str) -> str:
    """Return how the names of the unit tests of `module` begin."""
    package, _, rest = module.removesuffix(".py").partition("/")
    folder, _, stem = rest.rpartition("/")
    between = ("unit",) if package == "mogstored" else ()
    return "/".join(filter(None, ("tests", package, *between, folder, f"test_{stem}")))


def _words(name: str) -> set[str]:
    """Return the words in a path or a qualified name, in the singular."""
    found = re.findall(r"[a-z]{3,}|[A-Z][a-z]+", name.removesuffix(".py"))
    return {word.lower().rstrip("s") for word in found} - _NO_TOPIC


def _seconds(root: Path, report: Path) -> dict[str, float]:
    """Return the time of each file and each test, all its parameters together."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for case in ElementTree.parse(report).iter("testcase"):
        parts = str(case.get("classname")).split(".")
        classes: list[str] = []
        while parts and not (root / "/".join(parts)).with_suffix(".py").exists():
            classes.insert(0, parts.pop())
        file = "/".join(parts) + ".py"
        name = str(case.get("name")).partition("[")[0]
        taken = float(case.get("time") or 0)
        seconds[file] += taken
        seconds["::".join((file, *classes, name))] += taken
    return seconds


def _mark(root: Path, faults: Sequence[Fault]) -> None:
    """Put a call before the statement of each fault, or before the uses of what it defines."""
    marks: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, fault in enumerate(faults):
        for module, lines in _places(root, fault).items():
            marks[module].extend((line, number) for line in lines)
    for module, places in marks.items():
        path = root / module
        path.write_text(marked(path.read_bytes(), places))


def marked(source: bytes, places: Iterable[tuple[int, int]]) -> str:
    """Return the source with a call of `_reached` before the statement of each line.

    Args:
        places: lines, each with the number that the call hands on.
    """
    tree = ast.parse(source)
    for line, number in places:
        block, index = _statement(tree, line)
        block[index:index] = ast.parse(f"_reached({number})").body
    head = 0
    while isinstance(it := tree.body[head], ast.Expr) or (
        isinstance(it, ast.ImportFrom) and it.module == "__future__"
    ):
        head += 1
    tree.body[head:head] = ast.parse(_IMPORTED).body
    return ast.unparse(ast.fix_missing_locations(tree))


def _statement(source: ast.Module, line: int) -> tuple[list[ast.stmt], int]:
    """Return the innermost block with a statement in that line, and its place in the block."""
    best: tuple[int, list[ast.stmt], int] | None = None
    for node in ast.walk(source):
        for _, block in ast.iter_fields(node):
            if not isinstance(block, list):
                continue
            for index, each in enumerate(block):
                # The marks put in before have lines of their own source.
                if not isinstance(each, ast.stmt) or _is_mark(each):
                    continue
                if each.lineno <= line <= (each.end_lineno or each.lineno):
                    length = (each.end_lineno or each.lineno) - each.lineno
                    if best is None or length <= best[0]:
                        best = length, block, index
    assert best is not None, line
    return best[1:]


def _is_mark(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and statement.value.func.id == "_reached"
    )


def _places(root: Path, fault: Fault) -> dict[str, set[int]]:
    """Return the lines that show whether `fault` matters.

    What runs at import is reached by every test. Those that count reach a use of its names.
    """
    if not fault.names:
        return {fault.module: {fault.line}}
    places: defaultdict[str, set[int]] = defaultdict(set)
    for module in _all_modules(root):
        imported = module == fault.module
        for node in _nodes(root / module):
            if isinstance(node, ast.ImportFrom) and not imported:
                imported = node.module == fault.module[:-3].replace("/", ".") and bool(
                    fault.names.intersection(alias.name for alias in node.names)
                )
            word = getattr(node, "id", getattr(node, "attr", None))
            if imported and word in fault.names and hasattr(node, "lineno"):
                places[module].add(node.lineno)
    return places


@cache
def _all_modules(root: Path) -> tuple[str, ...]:
    files = (path for name in ("mogpoll", "mogstored") for path in (root / name).rglob("*.py"))
    return tuple(path.relative_to(root).as_posix() for path in files)


@cache
def _nodes(source: Path) -> tuple[ast.AST, ...]:
    """Return what runs in functions, and the imports, which come first."""
    tree = ast.parse(source.read_bytes())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    inner = [node for function in functions for part in function.body for node in ast.walk(part)]
    return (*imports, *inner)
