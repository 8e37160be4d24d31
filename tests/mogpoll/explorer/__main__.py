"""The command line; see the package."""

from __future__ import annotations

import argparse
import sys

from tests.mogpoll.explorer.kills import OUTSIDE, faults, kill
from tests.mogpoll.explorer.subjects import FULL, QUICK, Subject, listing


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.steps:
        print(listing(), end="")
        return 0
    subjects = QUICK if options.quick else QUICK + FULL
    broken = [subject for subject in subjects if not _explored(subject)]
    survivors = _survivors()
    print(f"{len(OUTSIDE)} listed faults are not about the claim:")
    for name, reason in OUTSIDE.items():
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


def _explored(subject: Subject) -> bool:
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


def _survivors() -> list[str]:
    survivors = []
    listed = faults()
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
