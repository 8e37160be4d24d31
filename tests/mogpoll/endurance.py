"""Repeat the conformance suite and the tests of the notes under load.

    python -m tests.mogpoll.endurance [--runs 50] [--loops 2] [PYTEST-ARGUMENT ...]

Tests of notes are named after them, as `test_n21_...`; `-k` selects others. Each run is a process,
on the backend that MOGPOLL_BACKEND names, beside `--loops` processes that compute. The first run
that fails ends it: its output is printed, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.mogpoll.pytest_run import run_pytest

SUITE = "tests/mogpoll"
# Two digits, to leave out `test_number_...`.
_CHOICE = "conformance or test_n0 or test_n1 or test_n2 or test_n3"

# For one run, which takes seconds on an idle machine.
_LIMIT_S = 600
# Ends with its parent: a process left behind would slow every later measurement.
_LOOP = (
    "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))\n"
)


def main(arguments: list[str] | None = None) -> int:
    wanted, pytest_arguments = _parser().parse_known_args(arguments)
    print(
        f"{SUITE}, runs: {wanted.runs}, busy loops beside it: {wanted.loops}, "
        f"processors: {os.cpu_count()}, backend: {os.environ.get('MOGPOLL_BACKEND', 'every one')}",
        flush=True,
    )
    with _busy(wanted.loops):
        for number in range(1, wanted.runs + 1):
            began = time.monotonic()
            status, said = run_pytest([SUITE, "-k", _CHOICE, *pytest_arguments], _LIMIT_S)
            if status is None:
                print(f"{said}\nrun {number} of {wanted.runs} did not end in {_LIMIT_S} s")
                return 1
            if status != 0:
                print(f"{said}\nrun {number} of {wanted.runs} FAILED with status {status}")
                return 1
            closing = said.strip().splitlines()[-1]
            print(
                f"{number:3}  {closing}  ({time.monotonic() - began:.0f} s, "
                f"load {os.getloadavg()[0]:.1f})",
                flush=True,
            )
    print(f"{wanted.runs} of {wanted.runs} runs passed")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mogpoll.endurance",
        description="Conformance and the notes' tests, many times in a row on a busy machine.",
    )
    parser.add_argument("--runs", type=_count, default=50, metavar="N", help="default: 50")
    parser.add_argument(
        "--loops", type=_count, default=2, metavar="N", help="processes that compute; default: 2"
    )
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


@contextmanager
def _busy(loops: int) -> Iterator[None]:
    running = [subprocess.Popen([sys.executable, "-I", "-c", _LOOP]) for _ in range(loops)]
    try:
        yield
    finally:
        for loop in running:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    sys.exit(main())
