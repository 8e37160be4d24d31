"""Which test reaches which line, and its duration: measured once, kept in .cache.

Each file of tests is run by itself under coverage. What runs in the test's own process is known
by test; what runs in a node that it started, by file. Lines are found again by their text when
the sources have changed or moved; a file of tests that has changed is measured anew.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import os
import re
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.mutations.draw import FUNCTIONS, Fault
from tests.mutations.trees import ROOT, Tree

_CACHE = ROOT / ".cache" / "mutations"
_LIMIT_S = 900
# They test sources and documents, or the checks themselves.
# A browser takes more address space than a tree's tests may have.
_APART = (
    "tests/project/",
    "tests/vm/",
    "tests/mogpoll/test_faults.py",
    "tests/mutations/",
    "tests/mogstored/browser/",
)
# Words that say nothing about what a test of a node is about.
_NO_TOPIC = {"test", "mogstored", "mogpoll", "system", "unit", "http", "file", "init"}
_CONFIG = """
[run]
branch = false
parallel = true
source = {root}/mogpoll, {root}/mogstored
patch = subprocess, fork, execv, _exit
dynamic_context = test_function
data_file = {data}/coverage
disable_warnings = no-data-collected, module-not-imported, module-not-measured
"""


@dataclass(frozen=True)
class Test:
    """An argument for pytest."""

    name: str
    seconds: float
    in_process: bool


class Coverage:
    """The coverage of all test files of a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._files: dict[str, dict[str, Any]] = {}

    def measure(self, jobs: int) -> None:
        """Measure new and changed files."""
        _CACHE.mkdir(parents=True, exist_ok=True)
        due = []
        for path in sorted((self._tree.root / "tests").rglob("test_*.py")):
            name = path.relative_to(self._tree.root).as_posix()
            if name.startswith(_APART):
                continue
            identity = name.encode() + path.read_bytes()
            if name.startswith("tests/mogpoll/"):
                # Its tests run on all backends at hand.
                identity += os.environ.get("MOGPOLL_LIBKQUEUE", "").encode()
            known = _CACHE / f"{_digest(identity)}.json"
            if known.exists():
                self._files[name] = _moved(self._tree.root, json.loads(known.read_text()))
            else:
                due.append((name, known))
        if not due:
            return
        print(f"measuring what {len(due)} files of tests reach", flush=True)
        with ThreadPoolExecutor(jobs) as executor:
            results = executor.map(lambda item: _measure(self._tree, *item), due)
            for (name, _), result in zip(due, results, strict=True):
                self._files[name] = result

    def tests_for(self, fault: Fault) -> list[Test]:
        """Return the tests that reach the line of `fault`, the likeliest to notice it first.

        Unit tests of its module come first, then other tests in the process of pytest, then those
        of nodes whose file is named after what the module, the function or the line is about.
        Among equals the cheapest comes first: it reaches little else.
        """
        places = _places(self._tree.root, fault)
        chosen = [
            test
            for name, file in self._files.items()
            for test in _tests_in(self._tree.root, name, file, places)
        ]
        unit = _unit_tests(fault.module)
        line = (self._tree.root / fault.module).read_text().splitlines()[fault.line - 1]
        about = _words(fault.module) | _words(fault.function) | _words(line)

        def rank(test: Test) -> tuple[float, ...]:
            name = test.name.partition("::")[0]
            if test.in_process:
                return 0, not name.startswith(unit), test.seconds
            return 1, -len(about & _words(name)), test.seconds

        return sorted(chosen, key=rank)


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


def _measure(tree: Tree, name: str, known: Path) -> dict[str, Any]:
    import coverage

    with tempfile.TemporaryDirectory(prefix="mog-coverage-") as folder:
        # Some nodes become another user before they write what they measured.
        Path(folder).chmod(0o777)
        config = Path(folder) / "coveragerc"
        config.write_text(_CONFIG.format(root=tree.root, data=folder))
        report = Path(folder) / "junit.xml"
        launcher = ("-m", "coverage", "run", f"--rcfile={config}", "-m")
        status, output = tree.pytest([f"--junitxml={report}", name], _LIMIT_S, launcher=launcher)
        if status not in (0, 5):
            print(f"{name}: status {status} under coverage: {output[-300:]}", flush=True)
        seconds: defaultdict[str, float] = defaultdict(float)
        if report.exists():
            for case in ElementTree.parse(report).iter("testcase"):
                seconds[str(case.get("name")).partition("[")[0]] += float(case.get("time") or 0)
        lines: dict[str, dict[str, list[int]]] = {}
        measured = coverage.Coverage(config_file=str(config))
        with warnings.catch_warnings():
            # A process that was killed leaves half a file.
            warnings.simplefilter("ignore")
            measured.combine([folder])
        data = measured.get_data()
        for path in data.measured_files():
            module = Path(path).relative_to(tree.root).as_posix()
            by_test: defaultdict[str, list[int]] = defaultdict(list)
            for line, contexts in data.contexts_by_lineno(path).items():
                for context in contexts:
                    by_test[context.rpartition(".")[2]].append(line)
            if by_test:
                lines[module] = by_test
        data.close()
    sources = {module: _keep((tree.root / module).read_bytes()) for module in lines}
    result = {"seconds": seconds, "sources": sources, "lines": lines}
    known.write_text(json.dumps(result))
    return result


def _moved(root: Path, file: dict[str, Any]) -> dict[str, Any]:
    """Call sources that have moved by the names they have now; drop those that are gone."""
    for module in [it for it in file["sources"] if not (root / it).exists()]:
        digest, lines = file["sources"].pop(module), file["lines"].pop(module)
        now = _successor(root, Path(module).name, digest)
        if now is not None and now not in file["sources"]:
            file["sources"][now], file["lines"][now] = digest, lines
    return file


@cache
def _successor(root: Path, name: str, digest: str) -> str | None:
    """Return the module of this name, in another folder, that is most like the old source."""
    old = (_CACHE / f"{digest}.source").read_text()
    likeness = {
        module: difflib.SequenceMatcher(None, old, (root / module).read_text()).quick_ratio()
        for module in _all_modules(root)
        if Path(module).name == name
    }
    return max(likeness, key=lambda module: likeness[module], default=None)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _keep(source: bytes) -> str:
    digest = _digest(source)
    path = _CACHE / f"{digest}.source"
    if not path.exists():
        path.write_bytes(source)
    return digest


def _tests_in(
    root: Path, name: str, file: dict[str, Any], places: dict[str, set[int]]
) -> Iterable[Test]:
    whole = sum(file["seconds"].values())
    reached: set[str] = set()
    for module, now in places.items():
        if module in file["sources"]:
            before = _lines_before(root / module, file["sources"][module])
            wanted = set().union(*(before[line] for line in now))
            for test, lines in file["lines"][module].items():
                if wanted.intersection(lines):
                    reached.add(test)
    for test in reached:
        if test in file["seconds"]:
            for path in _in_classes(root / name).get(test, [test]):
                yield Test(f"{name}::{path}", file["seconds"][test], in_process=True)
    if reached - file["seconds"].keys():
        yield Test(name, whole, in_process=False)


@cache
def _in_classes(file: Path) -> dict[str, list[str]]:
    """Return the tests that are methods, each with its classes, as pytest names them."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for each in ast.parse(file.read_bytes()).body:
        if isinstance(each, ast.ClassDef):
            for inner in each.body:
                if isinstance(inner, FUNCTIONS):
                    found[inner.name].append(f"{each.name}::{inner.name}")
    return found


@cache
def _lines_before(source: Path, digest: str) -> defaultdict[int, set[int]]:
    """Return, for each line of a source, those that stood in its place when it was measured."""
    old = (_CACHE / f"{digest}.source").read_text().splitlines()
    new = source.read_text().splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    found: defaultdict[int, set[int]] = defaultdict(set)
    for tag, old_begin, old_end, new_begin, new_end in matcher.get_opcodes():
        for line in range(new_begin, new_end):
            if tag == "equal":
                found[line + 1] = {old_begin + line - new_begin + 1}
            else:
                # The lines replaced, and their neighbours.
                found[line + 1] = set(range(old_begin, old_end + 2))
    return found


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
