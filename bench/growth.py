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

from bench import idle, machine, tools
from bench.cpu import NotLinux, require_proc
from bench.figures import Sample, paired_ratio
from bench.load import Load
from bench.peers import NGINX, NODE, Peer, PeerFailed, Workshop, free_port
from bench.report import LoadError
from bench.rounds import Method, alternating, check_answers
from bench.values import positive
from bench.ways_out import make_signals_leave, working_place
from bench.works import GET_1K, KIB, MIB, Work, write_content

CONNECTIONS = (1, 100, 1_000, 10_000)
DEVICES = (1, 10, 100, 500)
PROCESSES = (1, 2, 4)
SIZES = (KIB, 16 * KIB, 64 * KIB, MIB, 16 * MIB, 128 * MIB, 1024 * MIB)
_ACTIVE = 16
_FIRST_FID = 7_000_000
_SPACE = 4 * 1024 * MIB
# Runs of large files are so long that some of them end: one client, and a second for so much.
_LARGE = 16 * MIB
_SECOND_BYTES = 128 * MIB
_MANY_CONNECTIONS = 20_000


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of a table: a server, and what it is asked for."""

    label: str
    peer: Peer
    work: Work
    connections: int


@dataclass(frozen=True, slots=True)
class Bench:
    """What every table needs."""

    workshop: Workshop
    method: Method

    def rounds(self, variants: Sequence[Variant]) -> dict[str, list[Sample]]:
        """Run all variants in turn, after a warm-up each."""
        samples: dict[str, list[Sample]] = {variant.label: [] for variant in variants}
        for variant in variants:
            self._run(variant)
        for order in alternating(variants, self.method.rounds):
            for variant in order:
                samples[variant.label].append(self._run(variant))
        return samples

    def _run(self, variant: Variant) -> Sample:
        seconds = max(self.method.seconds, variant.work.size // _SECOND_BYTES)
        return self.method.run(variant.peer, variant.work, variant.connections, seconds)


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
            method = Method(Load(found.wrk, 1), wanted.rounds, wanted.seconds, lambda _: None)
            for name in wanted.parts:
                _PARTS[name](Bench(workshop, method))
    except (NotLinux, LoadError, PeerFailed, machine.PlaceUnfit, tools.ToolMissing) as error:
        print(f"bench.growth: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench.growth: interrupted, all servers are stopped", file=sys.stderr)
        return 130
    return 0


def _connections(bench: Bench) -> None:
    """Idle connections beside 16 that are busy."""
    idle.raise_file_limit(_MANY_CONNECTIONS)
    limit = ["--maxconns", str(_MANY_CONNECTIONS)]
    with ExitStack() as stack:
        variants = []
        for count in CONNECTIONS:
            node = bench.workshop.node(f"{NODE} {count} idle", limit)
            nginx = bench.workshop.nginx(f"{NGINX} {count} idle", _MANY_CONNECTIONS)
            for peer in (node, nginx):
                stack.enter_context(peer)
                check_answers(peer, GET_1K)
                stack.enter_context(idle.held(peer, count))
                variants.append(Variant(peer.name, peer, GET_1K, _ACTIVE))
        samples = bench.rounds(variants)
    for kind in (NODE, NGINX):
        own = {label: runs for label, runs in samples.items() if label.startswith(kind)}
        _show(f"idle connections beside {_ACTIVE} active ones, GET 1 KiB: {kind}", own)


def _devices(bench: Bench) -> None:
    """Devices below the docroot, all looked at by the usage round."""
    with ExitStack() as stack:
        variants = []
        for count in DEVICES:
            sidechannel = ["--mgmtlisten", f"127.0.0.1:{free_port()}"]
            peer = bench.workshop.node(f"{count} devices", sidechannel)
            for number in range(2, count + 1):
                (peer.docroot / f"dev{number}").mkdir()
            stack.enter_context(peer)
            variants.append(Variant(peer.name, peer, GET_1K, _ACTIVE))
        _show("devices, with a sidechannel, GET 1 KiB", bench.rounds(variants))


def _processes(bench: Bench) -> None:
    """Worker processes that share the listener."""
    with ExitStack() as stack:
        variants = []
        for count in PROCESSES:
            arguments = ["--worker-processes", str(count)]
            peer = bench.workshop.node(f"{count} processes", arguments)
            stack.enter_context(peer)
            variants.append(Variant(peer.name, peer, GET_1K, _ACTIVE))
        _show("worker processes, GET 1 KiB", bench.rounds(variants))


def _sizes(bench: Bench) -> None:
    """Files from 1 KiB to 1 GiB."""
    print("\nsize of the file: CPU us a request, CPU us a MiB, and ratios to nginx")
    print(f"{'size':<10}{'node':>12}{'nginx':>12}{'node/MiB':>12}{'CPU ratio':>11}{'rate':>8}")
    with ExitStack() as stack:
        node = stack.enter_context(bench.workshop.node("mogstored sizes"))
        nginx = stack.enter_context(bench.workshop.nginx("nginx sizes"))
        for number, size in enumerate(SIZES):
            work = Work(f"get-{size}", "GET", size, _FIRST_FID + number, 1)
            connections = _ACTIVE if size < _LARGE else 1
            for peer in (node, nginx):
                _write_sparse(peer.docroot / work.path(0)[1:], size)
            samples = bench.rounds([Variant(p.name, p, work, connections) for p in (node, nginx)])
            ours, base = samples[node.name], samples[nginx.name]
            cpu = median(sample.cpu_us for sample in ours)
            print(
                f"{_size(size):<10}{cpu:>12.1f}{median(s.cpu_us for s in base):>12.1f}"
                f"{cpu * MIB / size:>12.1f}"
                f"{paired_ratio(ours, base, lambda s: s.cpu_us).median:>11.2f}"
                f"{paired_ratio(ours, base, lambda s: s.rate).median:>8.2f}",
                flush=True,
            )


_PARTS: dict[str, Callable[[Bench], None]] = {
    "connections": _connections,
    "devices": _devices,
    "processes": _processes,
    "sizes": _sizes,
}


def _show(title: str, samples: dict[str, list[Sample]]) -> None:
    """Print a table whose ratios are to its first line."""
    print(f"\n{title}\n{'':<24}{'CPU us':>8}  slope (lowest-highest)   rate")
    first = next(iter(samples.values()))
    for label, runs in samples.items():
        slope = paired_ratio(runs, first, lambda sample: sample.cpu_us)
        rate = paired_ratio(runs, first, lambda sample: sample.rate)
        print(
            f"{label:<24}{median(sample.cpu_us for sample in runs):>8.1f}  "
            f"{slope.median:.2f} ({slope.lowest:.2f}-{slope.highest:.2f})"
            f"        {rate.median:.2f}",
            flush=True,
        )


def _write_sparse(path: Path, size: int) -> None:
    with open(path, "wb") as file:
        file.truncate(size)


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
    add = parser.add_argument
    add("--parts", type=_names, default=list(_PARTS), metavar="A,B", help=",".join(_PARTS))
    add("--rounds", type=positive, default=5, metavar="N", help="(default: %(default)s)")
    add("--seconds", type=positive, default=2, metavar="N", help="(default: %(default)s)")
    add("--install", action="store_true", help="install nginx and wrk by apt-get if missing")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in _PARTS]:
        raise argparse.ArgumentTypeError(f"unknown: {','.join(unknown)}; of {','.join(_PARTS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
