"""A test that waits for a thread checks that it has ended: a hang must fail."""

from __future__ import annotations

import ast

from tests.project._tree import ROOT

# A longer wait is one for the end.
_PAUSE_S = 0.5


def test_ends_of_threads_are_waited_for_by_the_helper_that_looks() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {ast.unparse(node)}"
        for path in (ROOT / "tests").rglob("*.py")
        if path.parent.name != "support"
        for node in ast.walk(ast.parse(path.read_bytes()))
        if _waits_for_a_thread(node)
    ]
    assert found == [], "say tests.support.threads.join(thread)"


def _waits_for_a_thread(node: ast.AST) -> bool:
    match node:
        case ast.Call(
            func=ast.Attribute(attr="join"),
            args=[ast.Constant(value=int() | float() as limit_s)],
        ):
            return limit_s > _PAUSE_S
    return False
