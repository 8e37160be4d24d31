"""Put one fault into a copy of the tree, and run the tests that should notice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.mutations.reach import Test
from tests.mutations.trees import Tree

# Limits on the tests of one fault: on their measured time, and on their time now.
BUDGET_S = 400.0
_LIMIT_S = 900.0
_TEST_LIMIT_S = 45


@dataclass(frozen=True)
class Verdict:
    is_caught: bool
    words: str


def try_out(
    tree: Tree, module: str, source: bytes, tests: Sequence[Test], budget_s: float
) -> Verdict:
    """Run the tests on the changed source until one fails, and put the right one back."""
    if not tests:
        return Verdict(False, "SURVIVES: no test reaches it")
    before = (tree.root / module).read_bytes()
    excused: list[str] = []
    while True:
        chosen = _affordable([test for test in tests if test.name not in excused], budget_s)
        if not chosen:
            return Verdict(False, f"SURVIVES: all {len(tests)} tests fail without it as well")
        tree.write(module, source)
        try:
            status, output = _run(tree, *(test.name for test in chosen))
            named = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", output, re.MULTILINE)
            is_sure = named is None or _run(tree, named[1])[0] != 0
        finally:
            tree.write(module, before)
        if status == 0:
            return Verdict(False, f"SURVIVES {len(chosen)} of {len(tests)} tests")
        if "ERROR: not found" in output or "no tests ran" in output:
            raise SystemExit(f"{module}: pytest could not find the tests:\n{output[-2000:]}")
        if named is None:
            if status is None:
                return Verdict(False, f"SURVIVES: no verdict in {_LIMIT_S:.0f} s")
            return Verdict(True, f"pytest ended with status {status}")
        # A test that fails only once, or without the fault too, does not count.
        if is_sure and _run(tree, named[1])[0] == 0:
            hung = re.search(r"^E +Failed: Timeout ", output, re.MULTILINE)
            return Verdict(True, f"the run hung in {named[1]}" if hung else named[1])
        excused.append(named[1].partition("[")[0])
        excused.append(named[1].partition("::")[0])


def _run(tree: Tree, *tests: str) -> tuple[int | None, str]:
    return tree.pytest(["-x", f"--timeout={_TEST_LIMIT_S}", *tests], _LIMIT_S)


def _affordable(tests: Sequence[Test], budget_s: float) -> list[Test]:
    """Return as many as fit into the budget, and at least one."""
    chosen, seconds = list(tests[:1]), 0.0
    for test in tests[1:]:
        seconds += test.seconds
        if seconds < budget_s:
            chosen.append(test)
    return chosen
