"""The command line of `python -m bench.life`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.values import add_parts, positive

PARTS = ("digest", "watch", "start", "upgrade", "worker")


@dataclass(frozen=True, slots=True)
class Options:
    parts: list[str]
    size_mib: int
    json: Path | None


def parse(argv: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m bench.life",
        description="Measure what happens to a node beside its requests; about a minute.",
    )
    add_parts(parser, PARTS)
    add = parser.add_argument
    add("--size", type=positive, default=1024, metavar="MIB", help="of the file to hash (1024)")
    add("--json", type=Path, metavar="FILE", help="write every sample")
    given = parser.parse_args(argv)
    return Options(given.parts, given.size, given.json)
