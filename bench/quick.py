"""The regression guard, in under a minute: `python -m bench.quick`, or `make bench-quick`.

A few works are measured beside nginx in short alternating rounds. What is judged is the
ratio of processor times against the one in `recorded.json`: it depends little on how fast the
machine is. It fails when a ratio is more than 1.3 times the recorded one. The lowest ratio of
the rounds is taken, on both sides: other work on the machine only ever adds to it.

`--record` writes the file anew. Do so on a quiet machine, and commit it with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import machine, tools
from bench.cpu import NotLinux, require_proc
from bench.figures import paired_ratio
from bench.load import Load
from bench.peers import PeerFailed, Workshop
from bench.report import LoadError
from bench.rounds import Method, quiet
from bench.ways_out import make_signals_leave, working_place
from bench.works import MIB, WORKS, write_content

RECORDED = Path(__file__).with_name("recorded.json")
TOLERANCE = 1.3
_WORKS = ("get-1k", "get-64k", "put-1k", "put-64k")
_CONNECTIONS = 16
_ROUNDS = 4
_SECONDS = 1
_SPACE = 1024 * MIB


def main() -> int:
    wanted = _parser().parse_args()
    make_signals_leave()
    try:
        require_proc()
        recorded = {} if wanted.record else read_recorded(RECORDED)
        ratios = _measure(wanted.install)
    except (NotLinux, LoadError, PeerFailed, machine.PlaceUnfit, tools.ToolMissing) as error:
        print(f"bench.quick: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench.quick: interrupted, all servers are stopped", file=sys.stderr)
        return 130
    if wanted.record:
        RECORDED.write_text(json.dumps(ratios, indent=1) + "\n")
        print(f"recorded: {ratios}")
        return 0
    lines, passed = judge(ratios, recorded)
    print(*lines, sep="\n")
    return 0 if passed else 1


def read_recorded(path: Path) -> dict[str, float]:
    """Read the recorded ratios. Raises: tools.ToolMissing when a work has none."""
    recorded: dict[str, float] = json.loads(path.read_text())
    if missing := [name for name in _WORKS if name not in recorded]:
        raise tools.ToolMissing(f"{path.name} has no ratio for {', '.join(missing)}: --record")
    return recorded


def judge(ratios: Mapping[str, float], recorded: Mapping[str, float]) -> tuple[list[str], bool]:
    """Return the lines of the table, and whether no ratio is beyond the tolerance."""
    lines = [f"{'work':<10}{'CPU / nginx':>12}{'recorded':>10}{'limit':>8}  verdict"]
    passed = True
    for name, ratio in ratios.items():
        limit = recorded[name] * TOLERANCE
        within = ratio <= limit
        passed = passed and within
        verdict = "ok" if within else "REGRESSION"
        lines.append(f"{name:<10}{ratio:>12.2f}{recorded[name]:>10.2f}{limit:>8.2f}  {verdict}")
    return lines, passed


def _measure(install: bool) -> dict[str, float]:
    found = tools.find_tools(install)
    ratios = {}
    with working_place(machine.default_docroot_parent(_SPACE)) as place, ExitStack() as stack:
        write_content(place / "content")
        build = tools.nginx_build(found.nginx)
        workshop = Workshop(place, place / "content", found.nginx, build, sys.executable)
        node = stack.enter_context(workshop.node())
        nginx = stack.enter_context(workshop.nginx())
        method = Method(Load(found.wrk, 1), _ROUNDS, _SECONDS, quiet)
        for work in WORKS:
            if work.name in _WORKS:
                samples = method.measure(work, _CONNECTIONS, [node, nginx])
                ratio = paired_ratio(samples[node.name], samples[nginx.name], lambda s: s.cpu_us)
                ratios[work.name] = round(ratio.lowest, 2)
    return ratios


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.quick",
        description="Compare the ratios to nginx with those on record.",
    )
    parser.add_argument("--record", action="store_true", help="write the ratios down instead")
    parser.add_argument("--install", action="store_true", help="apt-get nginx and wrk if missing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
