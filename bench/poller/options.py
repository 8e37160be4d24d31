"""The command line of `python -m bench.poller`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.values import add_parts, positive

PARTS = ("cycle", "growth", "memory", "pingpong")


@dataclass(frozen=True, slots=True)
class Options:
    parts: list[str]
    rounds: int
    cycles: int
    seconds: float
    json: Path | None


def parse(argv: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m bench.poller",
        description="Measure mogpoll beside the bare kernel calls, selectors and asyncio; 30 s.",
    )
    add_parts(parser, PARTS)
    add = parser.add_argument
    add("--rounds", type=positive, metavar="N", help="of each comparison, alternating (9)")
    add("--quick", action="store_true", help="3 short rounds")
    add("--json", type=Path, metavar="FILE", help="write every sample")
    given = parser.parse_args(argv)
    return Options(
        parts=given.parts,
        rounds=given.rounds or (3 if given.quick else 9),
        cycles=2000 if given.quick else 10_000,
        seconds=0.1 if given.quick else 0.3,
        json=given.json,
    )
