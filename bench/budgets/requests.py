"""Rows of requests beside other servers: processor time, or the rate against the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from statistics import median

from bench.budgets.setting import CannotMeasure, Measure, Setting, plain
from bench.comparison import compare_threads
from bench.figures import Sample, by_round, cpu_us, rate
from bench.goals import GOALS
from bench.outcome import Outcome, beside, judged
from bench.peers import CMOGSTORED, NGINX, NODE, Peer
from bench.works import GET_1K, GET_100M, MIB, WORKS, Work, write_files

_CONNECTIONS = 16
# So many that one that begins or ends leaves no gap.
_LARGE_CONNECTIONS = 4
_WORKS = {work.name: work for work in (*WORKS, GET_100M)}


def beside_nginx(name: str) -> Measure:
    """The processor time of a work beside that of nginx."""

    def measure(setting: Setting) -> Iterator[Outcome]:
        work = _WORKS[name]
        peers = [setting.workshop.node(), setting.workshop.nginx()]
        counts = setting.scale.connections if work is GET_1K else (_CONNECTIONS,)
        return _by_cpu(name, work, counts, setting, peers)

    return measure


def beside_cmogstored(setting: Setting) -> Iterator[Outcome]:
    """The processor time of a small GET beside that of cmogstored."""
    if setting.cmogstored is None:
        raise CannotMeasure("no --cmogstored given")
    peers = [setting.workshop.node(), setting.workshop.cmogstored(setting.cmogstored)]
    name = "get-1k-cmogstored"
    return _by_cpu(name, GET_1K, setting.scale.connections, setting, peers)


def rate_beside_best(name: str) -> Measure:
    """The throughput beside the better one of the others."""

    def measure(setting: Setting) -> Iterator[Outcome]:
        work = _WORKS[name]
        connections = _CONNECTIONS if work is not GET_100M else _LARGE_CONNECTIONS
        peers = [setting.workshop.node(), setting.workshop.nginx()]
        if setting.cmogstored is not None:
            peers.append(setting.workshop.cmogstored(setting.cmogstored))
        with ExitStack() as stack:
            for peer in peers:
                if work is GET_100M:
                    write_files(peer.docroot, work)
                stack.enter_context(peer)
            samples = setting.method.measure(work, connections, peers)
        others = [peer.name for peer in peers[1:]]
        ratios = by_round(samples[NODE], best_of([samples[other] for other in others]), rate)
        what = f"{_title(work)}, {connections} connections, to {_better(others)}"
        yield judged(what, GOALS[name], ratios, plain(samples), _absent(setting))
        for name_of_peer, own in samples.items():
            yield beside(name_of_peer, f"{median(map(rate, own)) * work.size / MIB:.0f} MiB/s")

    return measure


def threads(setting: Setting) -> Iterator[Outcome]:
    """Many disk threads beside few."""
    samples = compare_threads(setting.workshop, setting.method)
    many, few = samples
    ratios = by_round(samples[many], samples[few], cpu_us)
    what = f"GET 1 KiB, {many}, beside {few}"
    yield judged(what, GOALS["threads"], ratios, plain(samples))


def best_of(peers: Sequence[Sequence[Sample]]) -> list[Sample]:
    """The fastest sample of each round."""
    return [max(of_round, key=rate) for of_round in zip(*peers, strict=True)]


def _by_cpu(
    name: str, work: Work, counts: Sequence[int], setting: Setting, peers: Sequence[Peer]
) -> Iterator[Outcome]:
    with ExitStack() as stack:
        for peer in peers:
            stack.enter_context(peer)
        ours, other = (peer.name for peer in peers)
        for connections in counts:
            samples = setting.method.measure(work, connections, peers)
            ratios = by_round(samples[ours], samples[other], cpu_us)
            many = "connection" if connections == 1 else "connections"
            what = f"{_title(work)}, {connections} {many}, to {other}"
            note = " / ".join(f"{median(map(cpu_us, own)):.1f}" for own in samples.values())
            yield judged(what, GOALS[name], ratios, plain(samples), f"({note} us)")


def _title(work: Work) -> str:
    size, unit = (work.size // MIB, "MiB") if work.size >= MIB else (work.size // 1024, "KiB")
    return f"{work.method} {size} {unit}"


def _better(others: Sequence[str]) -> str:
    return others[0] if len(others) == 1 else "the better of both"


def _absent(setting: Setting) -> str:
    return "" if setting.cmogstored is not None else f"({NGINX} alone: no --{CMOGSTORED})"
