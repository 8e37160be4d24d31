"""`python -m bench.life`: one command, one table, and nothing left running or lying about."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from bench import machine
from bench.cpu import NotLinux, require_proc
from bench.life import digest, options, start, upgrade, watchers, worker
from bench.life.options import Options
from bench.outcome import Outcome, heading, row, write_json
from bench.peers import PeerFailed
from bench.ways_out import make_signals_leave, working_place
from bench.works import MIB

_SPARE_BYTES = 64 * MIB


def main() -> int:
    wanted = options.parse()
    make_signals_leave()
    try:
        _measure(wanted)
    except (NotLinux, PeerFailed, machine.PlaceUnfit, OSError) as error:
        print(f"bench.life: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench.life: interrupted, all processes are stopped", file=sys.stderr)
        return 130
    return 0


def _measure(wanted: Options) -> None:
    require_proc()
    parent = machine.default_docroot_parent(wanted.size_mib * MIB + _SPARE_BYTES)
    outcomes: list[Outcome] = []
    with working_place(parent) as place:
        facts = machine.facts_about(place, machine.about_node(sys.executable, place))
        print(machine.format_facts(facts), heading(), sep="\n\n", flush=True)
        try:
            for name in wanted.parts:
                home = place / name
                home.mkdir()
                found = _PARTS[name](home, wanted)
                print(*map(row, found), sep="\n", flush=True)
                outcomes += found
        finally:
            if wanted.json is not None:
                write_json(wanted.json, facts, outcomes)


_PARTS: dict[str, Callable[[Path, Options], list[Outcome]]] = {
    "digest": lambda home, wanted: digest.measure(home, wanted.size_mib),
    "watch": lambda home, _: watchers.measure(home),
    "start": lambda home, _: start.measure(home),
    "upgrade": lambda home, _: upgrade.measure(home),
    "worker": lambda home, _: worker.measure(home),
}


if __name__ == "__main__":
    sys.exit(main())
