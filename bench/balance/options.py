"""The command line of `python -m bench.balance`, checked before anything is started."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.balance.plot import ENDINGS
from bench.values import positive

_PLOT = Path(__file__).resolve().parent.parent / "results" / "accept-balance.svg"
# One byte tells a client who took it.
_MOST_PROCESSES = 64


@dataclass(frozen=True, slots=True)
class Options:
    processes: int
    connections: int
    bursts: int
    burst: int
    rounds: int
    seconds: float
    plot: Path
    json: Path | None


def parse(argv: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m bench.balance",
        description="Compare four ways of accepting, and one queue with many; about 45 s.",
    )
    add = parser.add_argument
    add("--processes", type=_processes, default=4, metavar="N", help="that accept (4)")
    add("--connections", type=positive, metavar="N", help="that arrive slowly (4000)")
    add("--rounds", type=positive, metavar="N", help="of each layout of queues (5)")
    add("--seconds", type=_seconds, metavar="S", help="of one round (1)")
    add("--quick", action="store_true", help="400 connections, one round of 1 s")
    add("--plot", type=_picture, default=_PLOT, metavar="FILE", help=f"{' or '.join(ENDINGS)}")
    add("--json", type=Path, metavar="FILE", help="write all counts and latencies")
    given = parser.parse_args(argv)
    return Options(
        processes=given.processes,
        connections=given.connections or (400 if given.quick else 4000),
        bursts=4 if given.quick else 20,
        burst=64,
        rounds=given.rounds or (1 if given.quick else 5),
        seconds=given.seconds or 1.0,
        plot=given.plot,
        json=given.json,
    )


def _processes(text: str) -> int:
    number = positive(text)
    if not 2 <= number <= _MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"not from 2 to {_MOST_PROCESSES}: {text}")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 600:
        raise argparse.ArgumentTypeError(f"not from 0.1 to 600 seconds: {text}")
    return seconds


def _picture(text: str) -> Path:
    file = Path(text)
    if file.suffix not in ENDINGS:
        raise argparse.ArgumentTypeError(f"not {' or '.join(ENDINGS)}: {text}")
    return file
