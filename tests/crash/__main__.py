"""Prove what stays on the disk when the power, the node or a disk fails.

    python -m tests.crash power [--count MOMENTS] [--seed S] [--level LEVEL ...]
    python -m tests.crash machine [--count KILLS] [--seed S] [--level LEVEL ...]
    python -m tests.crash kills [--count KILLS] [--seed S] [--level LEVEL]
    python -m tests.crash faults [--level LEVEL ...]
    python -m tests.crash scrub [--count FAULTS] [--seed S]

It needs root, on Linux. `machine` needs qemu and busybox, and gets Debian's kernel by apt. The
exit status is 1 when a promise was broken, or when a check that has to find losses finds none.
"""

from __future__ import annotations

import argparse
import sys

from tests.crash import faults, kills, machine, power, scrub

_PROOFS = {
    "power": (power.prove, 200),
    "machine": (machine.prove, 5),
    "kills": (kills.prove, 1000),
    "faults": (faults.prove, 1),
    "scrub": (scrub.prove, 1000),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("proof", choices=_PROOFS)
    parser.add_argument("--count", type=int, help="moments, kills, faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--level", action="append", choices=power.LEVELS)
    options = parser.parse_args()
    prove, count = _PROOFS[options.proof]
    levels = options.level or power.LEVELS
    return 0 if prove(levels, options.count or count, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
