"""Put small faults into mogpoll and mogstored, one at a time, and list those no test notices.

    python -m tests.mutations [--count N] [--seed S ...] [--path mogstored/http]
                              [--tests tests/mogstored/unit/http]
    python -m tests.mutations --listed [WORD ...]

The first draws faults at random, the same for the same seed and sources, and runs the tests that
reach the faulty line, the cheapest first, in a copy of the tree. The second does so with the
faults of `tests.mogpoll.faults` whose names contain one of the words, or all. An event that is
lost shows as a test that hangs: that counts, if the test's own limit ends it. What survives makes
the exit status 1, unless `equivalents.toml` has it, with the reason why it has no effect.

The suite runs once before, to see which tests reach what was drawn.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.mogpoll.faults import FAULTS
from tests.mutations import draw
from tests.mutations.reach import Test, tests_for
from tests.mutations.trees import Tree
from tests.mutations.trial import BUDGET_S, Verdict, try_out

_EQUIVALENTS = "tests/mutations/equivalents.toml"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations")
    parser.add_argument("--count", type=int, default=30, help="how many faults to draw")
    parser.add_argument("--seed", type=int, nargs="+", default=[1], help="of each draw")
    parser.add_argument("--path", action="append", help="draw from this file or folder only")
    parser.add_argument("--tests", nargs="+", default=[], help="run these only, not the suite")
    parser.add_argument(
        "--jobs", type=int, default=3 * (os.cpu_count() or 1), help="at the same time"
    )
    parser.add_argument(
        "--budget", type=float, default=BUDGET_S, help="seconds of tests for one fault"
    )
    parser.add_argument("--listed", nargs="*", metavar="WORD", help="the faults of mogpoll's list")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mog-mutations-") as folder:
        # The checkout may change meanwhile. Some nodes run as another user.
        Path(folder).chmod(0o755)
        tree = Tree.of_checkout(Path(folder) / "tree")
        if options.listed is None:
            paths = options.path or ["mogpoll", "mogstored"]
            draws = _drawn(tree, paths, options.count, options.seed, options.tests)
        else:
            draws = {"the list": _listed(tree, options.listed)}
        return run(tree, draws, options.jobs, options.budget)


class Trial(NamedTuple):
    """A changed source, and the tests that should notice."""

    name: str
    module: str
    source: bytes
    tests: list[Test]


def run(tree: Tree, draws: Mapping[str, Sequence[Trial]], jobs: int, budget_s: float) -> int:
    """Try all, so many at a time; print each verdict, and each draw's survivors at its end."""
    trees: queue.SimpleQueue[Tree] = queue.SimpleQueue()
    for number in range(jobs):
        trees.put(tree.copy(tree.root.with_name(f"tree-{number}")))

    def try_one(trial: Trial) -> Verdict:
        own = trees.get()
        try:
            return try_out(own, trial.module, trial.source, trial.tests, budget_s)
        finally:
            trees.put(own)

    survivors = 0
    with ThreadPoolExecutor(jobs) as executor:
        verdicts = {draw: executor.map(try_one, trials) for draw, trials in draws.items()}
        for draw, trials in draws.items():
            surviving = []
            for trial, verdict in zip(trials, verdicts[draw], strict=True):
                print(f"{trial.name}  {verdict.words}", flush=True)
                if not verdict.is_caught:
                    surviving.append(trial.name)
            survivors += len(surviving)
            print(f"{len(trials) - len(surviving)} of {len(trials)} faults were noticed: {draw}")
            for name in surviving:
                print(f"survives: {name}", flush=True)
    return 1 if survivors else 0


def _drawn(
    tree: Tree, paths: list[str], count: int, seeds: list[int], suite: list[str]
) -> dict[str, list[Trial]]:
    reasons = without_effect(tree.root / _EQUIVALENTS)
    drawn: list[tuple[str, draw.Fault]] = []
    for seed in seeds:
        for fault in draw.draw(tree.root, paths, count, seed):
            reason = reasons.get(
                (fault.module, fault.function, draw.shown(fault.old), draw.shown(fault.new))
            )
            if reason is None:
                drawn.append((f"seed {seed}", fault))
            else:
                print(f"{fault}  has no effect: {reason}")
    draws: dict[str, list[Trial]] = {f"seed {seed}": [] for seed in seeds}
    reaching = tests_for(tree, [fault for _, fault in drawn], suite)
    for (name, fault), tests in zip(drawn, reaching, strict=True):
        source = fault.applied((tree.root / fault.module).read_bytes())
        draws[name].append(Trial(str(fault), fault.module, source, tests))
    return draws


def _listed(tree: Tree, words: list[str]) -> list[Trial]:
    trials = []
    for fault in FAULTS:
        if words and not any(word in fault.name for word in words):
            continue
        module = f"mogpoll/{fault.module}"
        source = (tree.root / module).read_text(encoding="utf-8")
        if source.count(fault.old) != 1:
            raise SystemExit(f"{fault.name}: {module} has changed, this fault has to as well")
        broken = source.replace(fault.old, fault.new).encode()
        trials.append(Trial(fault.name, module, broken, [Test(fault.tests, 0.0, False)]))
    return trials


def without_effect(path: Path) -> dict[tuple[str, ...], str]:
    """Return the faults without an effect, each with its reason."""
    entries: Iterable[dict[str, str]] = tomllib.loads(path.read_text())["fault"]
    return {(it["module"], it["function"], it["old"], it["new"]): it["reason"] for it in entries}


if __name__ == "__main__":
    sys.exit(main())
