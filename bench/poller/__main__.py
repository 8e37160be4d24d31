"""`python -m bench.poller`: one command, one table."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable

from bench import machine
from bench.idle import raise_file_limit
from bench.outcome import Outcome, heading, row, write_json
from bench.peers import PeerFailed
from bench.poller import cycle, memory, options, pingpong
from bench.poller.contenders import Mogpoll, backend, bare, bare_name
from bench.poller.cycle import FEW, MANY
from bench.poller.findings import cycle_rows, growth_row, memory_rows, pingpong_rows
from bench.poller.options import Options
from bench.rounds import alternating
from bench.ways_out import make_signals_leave

_MANY_THREADS = 8
_SPARE_DESCRIPTORS = 200
# A round number, and just before and after the tables of Python double.
_SIZES = (10_000, 10_900, 10_950)


def main() -> int:
    wanted = options.parse()
    make_signals_leave()
    try:
        _measure(wanted)
    except (PeerFailed, OSError, ValueError) as error:
        print(f"bench.poller: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench.poller: interrupted", file=sys.stderr)
        return 130
    return 0


def _measure(wanted: Options) -> None:
    raise_file_limit(MANY + _SPARE_DESCRIPTORS, "ask for --parts pingpong")
    facts = {
        **machine.facts(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "backend": backend(),
        "method": f"{wanted.rounds} alternating rounds; median (lowest-highest) of the rounds; "
        "times are of processors",
    }
    print(machine.format_facts(facts), heading(), sep="\n\n", flush=True)
    outcomes: list[Outcome] = []
    try:
        for name in wanted.parts:
            found = _PARTS[name](wanted)
            print(*map(row, found), sep="\n", flush=True)
            outcomes += found
    finally:
        if wanted.json is not None:
            write_json(wanted.json, facts, outcomes)


def _cycle(wanted: Options) -> list[Outcome]:
    return cycle_rows(bare_name(), *cycle.compare(wanted.rounds, wanted.cycles))


def _growth(wanted: Options) -> list[Outcome]:
    rows = [Outcome("an event, with more registered descriptors", "", "", None, {})]
    for ready in (FEW, MANY):
        for make, name in ((Mogpoll, Mogpoll.name), (bare, bare_name())):
            found = cycle.growth(make, wanted.rounds, wanted.cycles, ready)
            judged = make is Mogpoll and ready == FEW
            rows.append(growth_row(name, ready, *found, judged=judged))
    return rows


def _memory(_: Options) -> list[Outcome]:
    return memory_rows(backend(), {count: memory.measure(count) for count in _SIZES})


def _pingpong(wanted: Options) -> list[Outcome]:
    entries = pingpong.entries(_MANY_THREADS)
    scores: dict[pingpong.Entry, list[pingpong.Score]] = {entry: [] for entry in entries}
    for order in alternating(entries, wanted.rounds):
        for entry in order:
            scores[entry].append(pingpong.play(entry, wanted.seconds))
    return pingpong_rows(bare_name(), scores)


_PARTS: dict[str, Callable[[Options], list[Outcome]]] = {
    "cycle": _cycle,
    "growth": _growth,
    "memory": _memory,
    "pingpong": _pingpong,
}


if __name__ == "__main__":
    sys.exit(main())
