"""The mutation check draws faults that Python accepts, and the same ones again."""

from __future__ import annotations

import ast
import random
import tomllib
from collections import Counter

from tests.mutations import draw, reach
from tests.mutations.draw import shown
from tests.project._tree import ROOT

PATHS = ["mogpoll", "mogstored"]
KINDS = {
    "comparison",
    "condition negated",
    "constant",
    "early return",
    "errno swapped",
    "finally dropped",
    "lock dropped",
    "statement dropped",
    "status changed",
}


def test_every_fault_of_every_kind_is_valid_python_and_a_change() -> None:
    found: Counter[str] = Counter()
    for module in draw.modules(ROOT, PATHS):
        source = (ROOT / module).read_bytes()
        for fault in draw.faults(module, source, random.Random(1)):
            found[fault.kind] += 1
            assert source[fault.begin : fault.end].decode() == fault.old
            broken = fault.applied(source)
            assert broken != source, fault
            if found[fault.kind] % 20 == 1:
                compile(broken, str(fault), "exec")
    assert found.keys() == KINDS


def test_draw_is_the_same_for_the_same_seed() -> None:
    first, again, other = (draw.draw(ROOT, PATHS, 50, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({(fault.module, fault.line) for fault in first}) == 50


def test_marks_stand_before_what_they_mark_and_change_nothing_else() -> None:
    for module in draw.modules(ROOT, PATHS)[::5]:
        source = (ROOT / module).read_bytes()
        faults = draw.faults(module, source, random.Random(1))
        lines = sorted({fault.line for fault in faults if not fault.names})
        if not lines:
            continue
        made = ast.parse(reach.marked(source, [(line, line) for line in lines]))
        marks = _Marks()
        marks.visit(made)
        assert sorted(marks.found) == lines, module
        # The import is the one other thing.
        body = [
            it for it in made.body if not ast.unparse(it).startswith("try:\n    from _reached")
        ]
        assert len(body) == len(made.body) - 1
        made.body = body
        assert ast.dump(made) == ast.dump(ast.parse(source)), module


class _Marks(ast.NodeTransformer):
    """Removes the marks, and collects their numbers."""

    def __init__(self) -> None:
        self.found: list[int] = []

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        match node.value:
            case ast.Call(func=ast.Name(id="_reached"), args=[ast.Constant(int(number))]):
                self.found.append(number)
                return None
        return node


def test_faults_without_effect_can_be_drawn() -> None:
    listed = (ROOT / "tests" / "mutations" / "equivalents.toml").read_text()
    for entry in tomllib.loads(listed)["fault"]:
        assert entry["reason"]
        source = (ROOT / entry["module"]).read_bytes()
        found = draw.faults(entry["module"], source, random.Random(1))
        wanted = entry["function"], entry["old"], entry["new"]
        assert wanted in {(it.function, shown(it.old), shown(it.new)) for it in found}, entry
