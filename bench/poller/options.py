"""The command line of `python -m bench.poller`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    add = parser.add_argument
    add("--parts", type=_parts, default=list(PARTS), metavar="A,B", help=f"of {','.join(PARTS)}")
    add("--rounds", type=_positive, metavar="N", help="of each comparison, alternating (9)")
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


def _parts(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {','.join(unknown)}; of {','.join(PARTS)}")
    return list(dict.fromkeys(names))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"not a positive number: {text}")
    return int(text)
