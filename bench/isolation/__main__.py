"""`python -m bench.isolation`: the bad disk in three situations, a table each, and a picture."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import machine, tools
from bench.isolation.parts import PARTS, Measuring, Samples
from bench.isolation.place import Maker
from bench.isolation.plot import NoMatplotlib, draw, require_matplotlib
from bench.isolation.table import table
from bench.peers import PeerFailed
from bench.report import LoadError
from bench.values import add_parts, positive, program
from bench.ways_out import make_signals_leave, working_place
from tests.support.fuse.control import CannotMount

_FAILURES = (
    CannotMount,
    LoadError,
    NoMatplotlib,
    PeerFailed,
    machine.PlaceUnfit,
    tools.ToolMissing,
    OSError,
)


def main() -> int:
    wanted = parse()
    make_signals_leave()
    try:
        _measure(wanted)
    except _FAILURES as error:
        _progress("")
        print(f"bench.isolation: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench.isolation: interrupted, all servers are stopped", file=sys.stderr)
        return 130
    return 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.isolation",
        description="Measure what a bad disk does to the users of the good ones.",
    )
    add_parts(parser, PARTS)
    add = parser.add_argument
    add("--rounds", type=positive, default=5, metavar="N", help="rounds of each part (default: 5)")
    add("--seconds", type=positive, default=2, metavar="N", help="seconds of one run (default: 2)")
    add("--cmogstored", type=program, metavar="PATH", help="measure this binary, too")
    add("--python", default=sys.executable, metavar="PATH", help="interpreter of the node")
    add("--plot", type=Path, metavar="FILE", help="draw an SVG; needs matplotlib")
    add("--json", type=Path, metavar="FILE", help="write every run")
    add("--install", action="store_true", help="install nginx and wrk by apt-get if missing")
    return parser.parse_args(argv)


def _measure(wanted: argparse.Namespace) -> None:
    if wanted.plot is not None:
        require_matplotlib()
    found = tools.find_tools(wanted.install)
    with working_place(Path(tempfile.gettempdir())) as place:
        # Servers may run as another user.
        place.chmod(0o755)
        method = (
            f"{wanted.rounds} rounds, runs of {wanted.seconds} s, medians;"
            " ratios of the same round: median (lowest-highest)"
        )
        node = machine.about_node(wanted.python, place)
        facts = machine.facts_of_comparison(found, place, method, node)
        print(machine.format_facts(facts), flush=True)
        build = tools.nginx_build(found.nginx)
        maker = Maker(place, wanted.python, found.nginx, build, wanted.cmogstored)
        measuring = Measuring(maker, found.wrk, wanted.rounds, wanted.seconds, _progress)
        results: dict[str, Samples] = {}
        for part in wanted.parts:
            results[part] = measuring.run(part, place)
            print(f"\n{table(part, results[part])}", flush=True)
    if wanted.plot is not None:
        draw(results, wanted.plot)
    if wanted.json is not None:
        everything = {"facts": facts, "results": _plain(results)}
        wanted.json.write_text(json.dumps(everything, indent=1) + "\n")


def _plain(results: dict[str, Samples]) -> dict[str, Any]:
    return {
        part: {name: [asdict(pair) for pair in pairs] for name, pairs in samples.items()}
        for part, samples in results.items()
    }


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
