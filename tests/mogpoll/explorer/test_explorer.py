"""Every interleaving keeps the claim, and each fault of the list that is about it breaks it."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from tests.mogpoll.explorer import __main__ as command
from tests.mogpoll.explorer.kills import OUTSIDE, faults, kill
from tests.mogpoll.explorer.machine import Machine, Serial, Violation
from tests.mogpoll.explorer.pool import methods
from tests.mogpoll.explorer.program import Compiler, Unsupported, methods_of
from tests.mogpoll.explorer.subjects import FULL, QUICK, Subject, listing
from tests.mogpoll.faults import FAULTS, Fault

# Those beyond take minutes: python -m tests.mogpoll.explorer.
SMALL = [subject for subject in QUICK if "kqueue: replaced" not in subject.name]
# Every fault is found in fewer states.
LIMIT = 3_000


@pytest.mark.parametrize("subject", SMALL, ids=lambda subject: subject.name)
def test_claim_holds_in_every_interleaving(subject: Subject) -> None:
    found = subject.explore()
    assert (found.violation, found.trace, found.is_complete) == ("", [], True)
    assert found.states > 300


@pytest.mark.parametrize("fault", faults(), ids=lambda fault: fault.name)
def test_fault_of_the_list_breaks_the_claim(fault: Fault) -> None:
    found = kill(fault, LIMIT)
    assert found is not None
    assert found[1].violation


def test_faults_that_are_left_out_are_listed_ones() -> None:
    assert set(OUTSIDE) <= {fault.name for fault in FAULTS}
    assert len(faults()) >= 18


def test_two_descriptors_and_three_threads_are_explored_for_both_kernels() -> None:
    largest = [one for one in QUICK + FULL if one.descriptors == 2 and len(one.threads) >= 3]
    assert {one.module for one in largest} == {"epoll.py", "kqueue.py"}


def test_counterexample_names_the_lines_of_the_source() -> None:
    (fault,) = [fault for fault in faults() if fault.name == "kqueue: late twin is not dropped"]
    found = kill(fault, LIMIT)
    assert found is not None
    assert found[1].trace[0].startswith("thread at line ")
    assert any("self._control(None, 1, timeout_s)" in line for line in found[1].trace)


def test_steps_are_lines_of_the_backends() -> None:
    shown = listing()
    assert "mogpoll/kqueue.py, rearm:" in shown
    assert "self._armed.pop(last, None)" in shown
    assert "mogpoll/epoll.py, add:" in shown


def test_command_lists_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--steps"]) == 0
    assert capsys.readouterr().out == listing() + methods.listing()


# The compiler and the machine, on sources of their own


def machine(source: str, **names: Any) -> Machine:
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    called = tuple(node.name for node in functions)
    compiler = Compiler(frozenset({"log"}), {f"self.{name}": name for name in called})
    namespace = {"self": None, "log": [], **names}
    return Machine(
        {node.name: compiler.compile(node, namespace) for node in methods_of(tree, called)}
    )


def played(source: str, *arguments: Any) -> list[Any]:
    """Run `main` to its end, step by step; return what it logs."""
    log: list[Any] = []
    made = machine(source, log=log)
    thread = made.start("main", *arguments)
    while thread:
        thread = made.step(thread)
    return log


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("for each in (1, 2, 3):\n  if each == 2:\n   continue\n  log.append(each)", [1, 3]),
        ("while True:\n  log.append(1)\n  break", [1]),
        (
            "try:\n  raise KeyError(1)\n except KeyError as e:\n  log.append(e.args)",
            [(1,)],
        ),
        ("try:\n  log.append(1)\n finally:\n  log.append(2)", [1, 2]),
        ("try:\n  return\n finally:\n  log.append(2)", [2]),
        ("with self.lock:\n  log.append(1)\n log.append(2)", [1, 2]),
        ("log.append(self.twice(4))", [8]),
        ("log.append(self.twice(number=5))", [10]),
        ("if self.twice(0) or self.twice(1):\n  log.append(1)", [1]),
        ("if self.twice(0) and self.twice(1):\n  pass\n else:\n  log.append(1)", [1]),
        ("if not (self.twice(0) or self.twice(0)):\n  log.append(1)", [1]),
        ("if not (self.twice(1) and self.twice(0)):\n  log.append(1)", [1]),
        (
            "for i in (1, 2):\n  try:\n   self.fails()\n  except:\n   continue\n log.append(i)",
            [2],
        ),
        (
            "try:\n  self.fails()\n except ValueError:\n  log.append(1)\n else:\n  log.append(2)",
            [1],
        ),
    ],
)
def test_compiled_source_does_what_python_does(body: str, expected: list[Any]) -> None:
    source = (
        f"def main(self):\n {body}\n"
        "def twice(self, number=1):\n return 2 * number\n"
        "def fails(self):\n with self.lock:\n  raise ValueError\n"
    )
    assert played(source) == expected


def test_step_ends_before_the_next_shared_access() -> None:
    log: list[int] = []
    made = machine("def main(self):\n log.append(1)\n x = 2\n log.append(x)\n", log=log)
    thread = made.start("main")
    seen = [list(log)]
    while thread:
        thread = made.step(thread)
        seen.append(list(log))
    assert seen == [[], [1], [1, 2]]


def test_exception_without_a_handler_breaks_the_claim() -> None:
    with pytest.raises(Violation, match="ValueError is raised"):
        played("def main(self):\n log.append(1)\n raise ValueError\n")


@pytest.mark.parametrize(
    "body",
    ["log.append(log.pop())", "yield 1", "with open('x') as f:\n  pass", "x = self.main() or 1"],
)
def test_source_that_cannot_be_split_into_steps_is_refused(body: str) -> None:
    with pytest.raises(Unsupported):
        machine(f"def main(self):\n {body}\n")


def test_locals_that_are_not_read_again_are_no_part_of_a_state() -> None:
    made = machine("def main(self):\n x = 1\n y = 2\n log.append(y)\n log.append(3)\n")
    thread = made.start("main")
    assert thread[0][2] == (("y", 2),)
    assert made.step(thread)[0][2] == ()


def test_serial_keeps_its_kind() -> None:
    assert isinstance(Serial(2) | True, Serial)
    assert isinstance(Serial(2) + 2, Serial)
