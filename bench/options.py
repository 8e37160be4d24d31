"""The command line of `python -m bench`, checked before anything is started."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.goals import GOALS
from bench.load import spare_threads
from bench.values import directory, positive, program, some_of, writable_file
from bench.works import CONNECTIONS, NAMES

_QUICK_CONNECTIONS = (16,)


@dataclass(frozen=True, slots=True)
class Options:
    works: list[str]
    connections: list[int]
    rounds: int
    seconds: int
    wrk_threads: int
    cmogstored: str | None
    python: str
    node_args: list[str]
    calibrate: bool
    docroot_parent: Path | None
    json: Path | None
    install: bool


def parse(argv: Sequence[str] | None = None) -> Options:
    parser = _parser()
    given = parser.parse_args(argv)
    if given.calibrate and given.works is None:
        given.works = [name for name in NAMES if name.startswith(("get-", "put-"))]
    works = [n for n in given.works or NAMES if not (given.skip_idle and n == "idle")]
    if not works:
        parser.error("nothing is left to measure")
    if given.calibrate and not all(name.startswith(("get-", "put-")) for name in works):
        parser.error("--calibrate knows the GET and PUT works only")
    return Options(
        works=works,
        connections=given.connections or list(_QUICK_CONNECTIONS if given.quick else CONNECTIONS),
        rounds=given.rounds or (3 if given.quick else 5),
        seconds=given.seconds or (1 if given.quick else 2),
        wrk_threads=given.wrk_threads,
        cmogstored=given.cmogstored,
        python=given.python,
        node_args=shlex.split(given.node_args),
        calibrate=given.calibrate,
        docroot_parent=given.docroot_parent,
        json=given.json,
        install=given.install,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure mogstored beside nginx (and cmogstored) in alternating rounds.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--list", action="version", version=_list(), help="the works and their goals")
    add("--works", type=some_of(NAMES), metavar="A,B", help=f"of {','.join(NAMES)}")
    add("--connections", type=_counts, metavar="N,M", help="default: 1,16,128")
    add("--rounds", type=positive, metavar="N", help="rounds per row (default: 5)")
    add("--seconds", type=positive, metavar="N", help="seconds of one run (default: 2)")
    add("--quick", action="store_true", help="3 rounds of 1 s with 16 connections")
    add("--skip-idle", action="store_true", help="no memory of idle connections")
    add("--cmogstored", type=program, metavar="PATH", help="measure this binary, too")
    add("--python", default=sys.executable, metavar="PATH", help="interpreter of the node")
    add("--node-args", default="", metavar="ARGS", help="more arguments for the node")
    add(
        "--calibrate",
        action="store_true",
        help="a second nginx in the place of the node: what the ratios show then is noise",
    )
    add(
        "--docroot-parent",
        type=directory,
        metavar="DIR",
        help="default: /dev/shm, else the temp dir",
    )
    spare = spare_threads()
    add("--wrk-threads", type=positive, default=spare, metavar="N", help="(default: %(default)s)")
    add("--json", type=writable_file, metavar="FILE", help="write every sample of every round")
    add("--install", action="store_true", help="install nginx and wrk by apt-get if missing")
    return parser


def _list() -> str:
    return "\n".join(f"{name:<8} {GOALS.get(name, '')}".rstrip() for name in NAMES)


def _counts(text: str) -> list[int]:
    return [positive(word) for word in text.split(",")]
