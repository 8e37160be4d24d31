"""How the cost of a request grows: `python -m bench.growth`, one table for each dimension.

Each table changes one thing and keeps all others: idle connections beside the active ones,
devices of the docroot, worker processes, the size of the file. All variants of a table run
side by side and take turns in each round, so a ratio compares runs that saw the machine in
nearly the same state. A slope of 1.00 says that the thing costs nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import devices, idle, machine, tools
from bench.cpu import NotLinux, require_proc
from bench.figures import Sample, cpu_us, paired_ratio, rate
from bench.goals import GOALS, Figure, Goal
from bench.load import Load
from bench.peers import NGINX, NODE, PeerFailed, Workshop
from bench.report import LoadError
from bench.rounds import Method, check_answers, quiet
from bench.values import add_parts, positive
from bench.ways_out import make_signals_leave, working_place
from bench.works import GET_1K, KIB, MIB, Work, write_content, write_files

CONNECTIONS = (1, 100, 1_000, 10_000)
DEVICES = (1, 10, 100, 500)
PROCESSES = (1, 2, 4)
SIZES = (KIB, 16 * KIB, 64 * KIB, MIB, 16 * MIB, 100 * MIB, 1024 * MIB)
ACTIVE = 16
_FIRST_FID = 8_000_000
_SPACE = 4 * 1024 * MIB
# From here on one client, so that one answer after the other is timed to its end.
_LARGE = 16 * MIB
# Each with the goal of that work.
_SIZES_WITH_GOALS = {KIB: "get-1k", 64 * KIB: "get-64k", MIB: "get-1m", 100 * MIB: "get-100m"}
_MANY_CONNECTIONS = 20_000
_FAILURES = (NotLinux, LoadError, PeerFailed, machine.PlaceUnfit, tools.ToolMissing, OSError)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every table needs."""

    workshop: Workshop
    method: Method


def main() -> int:
    wanted = _parser().parse_args()
    make_signals_leave()
    try:
        require_proc()
        found = tools.find_tools(wanted.install)
        with working_place(machine.default_docroot_parent(_SPACE)) as place:
            print(machine.describe(found, place, _method(wanted), _about(place)), flush=True)
            write_content(place / "content")
            workshop = Workshop(
                place,
                place / "content",
                found.nginx,
                tools.nginx_build(found.nginx),
                sys.executable,
            )
            method = Method(Load(found.wrk, 1), wanted.rounds, wanted.seconds, quiet)
            for name in wanted.parts:
                _PARTS[name](Bench(workshop, method))
    except _FAILURES as error:
        print(f"bench.growth: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench.growth: interrupted, all servers are stopped", file=sys.stderr)
        return 130
    return 0


def beside_idle(
    workshop: Workshop, method: Method, counts: Sequence[int]
) -> dict[str, dict[int, list[Sample]]]:
    """Samples of 16 busy connections, by kind of server and number of idle ones beside them."""
    idle.raise_file_limit(_MANY_CONNECTIONS, "ask for other parts")
    limit = ["--maxconns", str(_MANY_CONNECTIONS)]
    with ExitStack() as stack:
        variants = []
        for count in counts:
            node = workshop.node(_beside(NODE, count), limit)
            nginx = workshop.nginx(_beside(NGINX, count), _MANY_CONNECTIONS)
            for peer in (node, nginx):
                stack.enter_context(peer)
                check_answers(peer, GET_1K)
                stack.enter_context(idle.held(peer, count))
                variants.append(method.variant(peer, GET_1K, ACTIVE))
        samples = method.take_turns("beside idle connections", variants)
    return {
        kind: {count: samples[_beside(kind, count)] for count in counts} for kind in (NODE, NGINX)
    }


def _beside(kind: str, count: int) -> str:
    return f"{kind} {count} idle"


def _connections(bench: Bench) -> None:
    """Idle connections beside 16 that are busy."""
    for kind, samples in beside_idle(bench.workshop, bench.method, CONNECTIONS).items():
        own = {_beside(kind, count): runs for count, runs in samples.items()}
        title = f"idle connections beside {ACTIVE} active ones, GET 1 KiB: {kind}"
        _show(title, own, GOALS["beside-idle"] if kind == NODE else None)


def _devices(bench: Bench) -> None:
    """Devices below the docroot, all asked for files and looked at by the usage round."""
    samples = devices.cost(bench.workshop, bench.method, DEVICES)
    _show("devices, with a sidechannel, GET 1 KiB from all", samples, GOALS["devices"])


def _processes(bench: Bench) -> None:
    """Worker processes that share the listener."""
    with ExitStack() as stack:
        variants = []
        for count in PROCESSES:
            arguments = ["--worker-processes", str(count)]
            peer = bench.workshop.node(f"{count} processes", arguments)
            stack.enter_context(peer)
            variants.append(bench.method.variant(peer, GET_1K, ACTIVE))
        _show("worker processes, GET 1 KiB", bench.method.take_turns("processes", variants))


def _sizes(bench: Bench) -> None:
    """Files from 1 KiB to 1 GiB."""
    print("\nsize of the file: CPU us a request, CPU us a MiB, and ratios to nginx")
    print(f"{'size':<10}{'node':>12}{'nginx':>12}{'node/MiB':>12}{'CPU ratio':>11}{'rate':>8}")
    with ExitStack() as stack:
        node = stack.enter_context(bench.workshop.node("mogstored sizes"))
        nginx = stack.enter_context(bench.workshop.nginx("nginx sizes"))
        for number, size in enumerate(SIZES):
            work = Work(f"get-{size}", "GET", size, _FIRST_FID + number, 1)
            connections = ACTIVE if size < _LARGE else 1
            for peer in (node, nginx):
                write_files(peer.docroot, work)
            variants = [bench.method.variant(peer, work, connections) for peer in (node, nginx)]
            samples = bench.method.take_turns(work.name, variants)
            ours, base = samples[node.name], samples[nginx.name]
            cpu, rates = paired_ratio(ours, base, cpu_us), paired_ratio(ours, base, rate)
            used_us = median(map(cpu_us, ours))
            print(
                f"{_size(size):<10}{used_us:>12.1f}{median(map(cpu_us, base)):>12.1f}"
                f"{used_us * MIB / size:>12.1f}{cpu.median:>11.2f}{rates.median:>8.2f}"
                f"{_size_verdict(size, cpu.median, rates.median)}",
                flush=True,
            )


def _size_verdict(size: int, cpu_ratio: float, rate_ratio: float) -> str:
    if size not in _SIZES_WITH_GOALS:
        return ""
    goal = GOALS[_SIZES_WITH_GOALS[size]]
    return _verdict(goal, cpu_ratio if goal.figure is Figure.CPU_RATIO else rate_ratio)


def _verdict(goal: Goal, value: float) -> str:
    return f"  {goal}: {goal.verdict(value)}"


_PARTS: dict[str, Callable[[Bench], None]] = {
    "connections": _connections,
    "devices": _devices,
    "processes": _processes,
    "sizes": _sizes,
}


def _show(title: str, samples: dict[str, list[Sample]], goal: Goal | None = None) -> None:
    """Print a table whose ratios are to its first line; a goal is for the last one."""
    print(f"\n{title}\n{'':<24}{'CPU us':>8}  slope (lowest-highest)   rate")
    first, *_, last = samples.values()
    for label, runs in samples.items():
        slope = paired_ratio(runs, first, cpu_us)
        rates = paired_ratio(runs, first, rate)
        is_last = runs is last
        print(
            f"{label:<24}{median(map(cpu_us, runs)):>8.1f}  "
            f"{slope.median:.2f} ({slope.lowest:.2f}-{slope.highest:.2f})"
            f"        {rates.median:.2f}"
            f"{_verdict(goal, slope.median) if goal and is_last else ''}",
            flush=True,
        )


def _size(size: int) -> str:
    for unit, name in ((1024 * MIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def _about(place: Path) -> str:
    return machine.about_node(sys.executable, place)


def _method(wanted: argparse.Namespace) -> str:
    return f"{wanted.rounds} alternating rounds of {wanted.seconds} s after a warm-up; medians"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth", description="Measure how the cost of a request grows."
    )
    add_parts(parser, _PARTS)
    add = parser.add_argument
    add("--rounds", type=positive, default=5, metavar="N", help="(default: %(default)s)")
    add("--seconds", type=positive, default=2, metavar="N", help="(default: %(default)s)")
    add("--install", action="store_true", help="install nginx and wrk by apt-get if missing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
