"""From exec to the first answer with many devices, and what of it is Python alone.

On a busy machine the time on the clock says little; the processor time beside it says more.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench import machine
from bench.life.node import Node
from bench.outcome import Outcome, spread
from bench.peers import child_environment

GOAL_S = 0.5
_DEVICES = 500
_ROUNDS = 5
_BARE = "pass"
# All that is loaded before the node looks at its first socket.
_LOADED = "import mogstored.cli, mogstored.startup"


@dataclass(frozen=True, slots=True)
class _Took:
    wall_s: float
    cpu_s: float


def measure(home: Path) -> list[Outcome]:
    # One round more than is counted: the first may have to compile, and makes the usage files.
    rounds = [_round(home) for _ in range(_ROUNDS + 1)][1:]
    with_mgmt, without, bare, loaded = zip(*rounds, strict=True)
    kind = machine.file_system(home)
    return [
        _outcome(f"exec to first answer, {_DEVICES} devices on {kind}", with_mgmt, GOAL_S),
        _outcome("  the same without mgmtlisten", without, GOAL_S),
        _outcome("  beside it: the interpreter alone", bare),
        _outcome("  beside it: the interpreter and all imports of the node", loaded),
    ]


def _outcome(what: str, took: Sequence[_Took], goal_s: float | None = None) -> Outcome:
    times = [each.wall_s for each in took]
    return Outcome(
        what,
        "" if goal_s is None else f"< {goal_s:g} s",
        f"{spread(times, ' s')}; CPU {median(each.cpu_s for each in took):.2f} s",
        None if goal_s is None else median(times) < goal_s,
        {"rounds": [asdict(each) for each in took]},
    )


def _round(home: Path) -> tuple[_Took, _Took, _Took, _Took]:
    return (
        _start(home, mgmt=True),
        _start(home, mgmt=False),
        _python(home, _BARE),
        _python(home, _LOADED),
    )


def _start(home: Path, mgmt: bool) -> _Took:
    with Node(home, mgmt=mgmt, devices=_DEVICES) as node:
        return _Took(node.start_s, node.start_cpu_s)


def _python(home: Path, code: str) -> _Took:
    used, began = _children_cpu_s(), time.monotonic()
    subprocess.run([sys.executable, "-c", code], cwd=home, env=child_environment(), check=True)
    return _Took(time.monotonic() - began, _children_cpu_s() - used)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
