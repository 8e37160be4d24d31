"""`python -m bench.balance`: one command, one table, a picture, and nothing left running."""

from __future__ import annotations

import platform
import sys

from bench import machine
from bench.balance import arrivals, latency, options, plot, ways
from bench.balance.findings import Spread, latency_rows, spread_rows
from bench.balance.latency import Round
from bench.balance.layouts import Layout, layouts
from bench.balance.options import Options
from bench.balance.shares import shares_of
from bench.balance.ways import Way
from bench.idle import raise_file_limit
from bench.outcome import Outcome, heading, row, write_json
from bench.peers import PeerFailed
from bench.ways_out import make_signals_leave

# On each queue of a process, in the middle of the layouts.
_THREADS = 2
_SPARE_DESCRIPTORS = 200


def main() -> int:
    wanted = options.parse()
    make_signals_leave()
    try:
        _measure(wanted)
    except (PeerFailed, OSError) as error:
        _progress("")
        print(f"bench.balance: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench.balance: interrupted, all processes are stopped", file=sys.stderr)
        return 130
    return 0


def _measure(wanted: Options) -> None:
    most = max(wanted.connections, wanted.bursts * wanted.burst)
    raise_file_limit(most + _SPARE_DESCRIPTORS, "ask for fewer --connections")
    facts = _facts(wanted)
    print(machine.format_facts(facts), heading(), sep="\n\n", flush=True)
    outcomes: list[Outcome] = []
    try:
        spreads: dict[Way, Spread | str] = {}
        for way in Way:
            spreads[way] = _spread(way, wanted)
            outcomes += _shown(spread_rows({way: spreads[way]}))
        print()
        compared = layouts(wanted.processes, _THREADS)
        latencies = latency.measure(compared, wanted.rounds, wanted.seconds, _progress)
        _progress("")
        outcomes += _shown(latency_rows(latencies))
    finally:
        if wanted.json is not None:
            write_json(wanted.json, facts, outcomes)
    _draw(wanted, spreads, latencies)


def _facts(wanted: Options) -> dict[str, str]:
    offers = latency.offers(wanted.processes * _THREADS)
    load = " and ".join(
        f"{offer.per_second:g}/s {name} by {offer.clients} clients"
        for name, offer in zip(("short", "long"), offers.values(), strict=True)
    )
    return {
        **machine.facts(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "connections": f"persistent, over {wanted.processes} processes: largest/mean (by process)",
        "load": f"{load} ({latency.LONG_S * 1e3:g} ms blocked)",
        "method": f"{wanted.rounds} alternating rounds of {wanted.seconds:g} s; "
        "medians, of the longest also (lowest-highest)",
    }


def _spread(way: Way, wanted: Options) -> Spread | str:
    reason = ways.why_not(way)
    if reason is not None:
        return reason
    _progress(f"connections: {way.value}")
    with arrivals.accepting(way, wanted.processes) as crowd:
        slow = crowd.come([1] * wanted.connections)
        bursts = crowd.come([wanted.burst] * wanted.bursts)
    _progress("")
    return Spread(shares_of(slow, wanted.processes), shares_of(bursts, wanted.processes))


def _shown(rows: list[Outcome]) -> list[Outcome]:
    print(*map(row, rows), sep="\n", flush=True)
    return rows


def _draw(
    wanted: Options,
    spreads: dict[Way, Spread | str],
    latencies: dict[Layout, list[Round]],
) -> None:
    try:
        wanted.plot.parent.mkdir(parents=True, exist_ok=True)
        plot.draw(wanted.plot, spreads, latencies)
    except plot.PlotMissing as missing:
        print(f"\n{missing}")
    else:
        print(f"\nplot: {wanted.plot}")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
