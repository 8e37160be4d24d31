"""The command line; see the package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from tests.mogpoll.explorer import kills
from tests.mogpoll.explorer.pool import faults as pool_faults
from tests.mogpoll.explorer.pool import methods
from tests.mogpoll.explorer.pool import subjects as pools
from tests.mogpoll.explorer.pool.subjects import PoolSubject
from tests.mogpoll.explorer.search import Outcome
from tests.mogpoll.explorer.subjects import FULL, QUICK, Subject, listing
from tests.mogpoll.faults import Fault

_Killed = tuple[Subject | PoolSubject, Outcome] | None


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.steps:
        print(listing() + methods.listing(), end="")
        return 0
    subjects: list[Subject | PoolSubject] = [*QUICK, *pools.QUICK]
    subjects.append(pools.without(pool_faults.GAPS))
    if not options.quick:
        subjects += [*FULL, *pools.FULL]
    broken = [subject for subject in subjects if not _explored(subject)]
    survivors = _survivors(kills.faults(), kills.kill)
    survivors += _survivors(pool_faults.FAULTS, pools.kill)
    outside = kills.OUTSIDE | pool_faults.OUTSIDE
    print(f"{len(outside)} listed faults are not about the claim:")
    for name, reason in outside.items():
        print(f"  {name}: {reason}")
    return 1 if broken or survivors else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mogpoll.explorer",
        description="All interleavings of mogpoll's code over models of epoll and of kqueue.",
    )
    parser.add_argument("--quick", action="store_true", help="leave out the largest")
    parser.add_argument(
        "--steps", action="store_true", help="list the steps, by line of the source, and exit"
    )
    return parser


def _explored(subject: Subject | PoolSubject) -> bool:
    found = subject.explore()
    verdict = found.violation or "the claim holds"
    print(
        f"{subject.name}: {found.states} states, {found.steps} steps, "
        f"{found.seconds:.1f} s: {verdict}",
        flush=True,
    )
    for line in found.trace:
        print(f"  {line}")
    return not found.violation


def _survivors(listed: Sequence[Fault], kill: Callable[[Fault], _Killed]) -> list[str]:
    survivors = []
    for fault in listed:
        found = kill(fault)
        if found is None:
            survivors.append(fault.name)
            print(f"SURVIVES: {fault.name}")
            continue
        subject, outcome = found
        print(
            f"killed: {fault.name}\n  by {subject.name}, {outcome.states} states: "
            f"{outcome.violation}",
            flush=True,
        )
    print(f"{len(listed) - len(survivors)} of {len(listed)} faults break the claim")
    return survivors


if __name__ == "__main__":
    sys.exit(main())
