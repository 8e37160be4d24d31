"""The command line of `python -m bench.budgets`, checked before anything is started."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.budgets.rows import ROWS
from bench.budgets.setting import FULL, QUICK, Scale
from bench.goals import GOALS
from bench.load import spare_threads
from bench.values import directory, positive, program, some_of, writable_file


@dataclass(frozen=True, slots=True)
class Options:
    rows: list[str]
    rounds: int
    seconds: int
    scale: Scale
    cmogstored: str | None
    python: str
    wrk_threads: int
    docroot_parent: Path | None
    json: Path | None
    strict: bool
    install: bool


def parse(argv: Sequence[str] | None = None) -> Options:
    given = _parser().parse_args(argv)
    return Options(
        rows=given.rows,
        rounds=given.rounds or (1 if given.quick else 5),
        seconds=given.seconds or (1 if given.quick else 2),
        scale=QUICK if given.quick else FULL,
        cmogstored=given.cmogstored,
        python=given.python,
        wrk_threads=given.wrk_threads,
        docroot_parent=given.docroot_parent,
        json=given.json,
        strict=given.strict,
        install=given.install,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.budgets",
        description="Measure every budget of the node: goal, figure, verdict; about 8 minutes.",
        # For the lines of --list.
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--list", action="version", version=_list(), help="the rows and their goals")
    add("--rows", type=some_of(ROWS), default=list(ROWS), metavar="A,B", help="see --list")
    add("--rounds", type=positive, metavar="N", help="alternating rounds of each row (5)")
    add("--seconds", type=positive, metavar="N", help="of one run (2)")
    add("--quick", action="store_true", help="1 round of 1 s, less of everything: to try it out")
    add("--strict", action="store_true", help="status 1 when a goal is missed, too")
    add("--cmogstored", type=program, metavar="PATH", help="measure this binary, too")
    add("--python", type=program, default=sys.executable, metavar="PATH", help="of the node")
    add("--docroot-parent", type=directory, metavar="DIR", help="default: /dev/shm or temp dir")
    spare = spare_threads()
    add("--wrk-threads", type=positive, default=spare, metavar="N", help="(default: %(default)s)")
    add("--json", type=writable_file, metavar="FILE", help="write every sample")
    add("--install", action="store_true", help="install nginx and wrk by apt-get if missing")
    return parser


def _list() -> str:
    return "\n".join(f"{name:<18}{row.title:<48}{GOALS[name]}" for name, row in ROWS.items())
