"""How the cost of a request grows: with idle connections, devices, processes, and file size.

Each part changes one thing and keeps all others. All variants run side by side and take turns in
each round, so a ratio compares runs that saw the machine in nearly the same state. 1.00 says that
the thing costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from bench.base.figures import Sample, by_round, cpu_us, middle, rate, spread
from bench.base.goals import GOALS, Goal
from bench.base.machine import require_files
from bench.base.outcome import Outcome, beside, judged
from bench.environment import Environment
from bench.load import idle_load
from bench.requests import devices
from bench.requests.beside import CONNECTIONS, set_beside
from bench.servers.peers import NGINX, NODE, Peer
from bench.servers.workloads import GET_1K, GIB, KIB, MIB, Workload, write_files

_IDLE = (1, 100, 1_000, 10_000)
_DEVICES = (1, 10, 100, 500)
_PROCESSES = (1, 2, 4)
_SIZES = (KIB, 16 * KIB, 64 * KIB, MIB, 16 * MIB, 100 * MIB, GIB)
_FIRST_FID = 9_000_000
# From here on one client, so that one answer after the other is timed to its end.
_LARGE = 16 * MIB
_SIZES_WITH_GOALS = {KIB: "get-1k", 64 * KIB: "get-64k", MIB: "get-1m", 100 * MIB: "get-100m"}
_MOST_CONNECTIONS = 12_000


def memory(environment: Environment) -> Iterator[Outcome]:
    """What idle connections add to the node is judged; the whole process stands below."""
    require_files(_MOST_CONNECTIONS)
    count, goal = environment.scale.idle, GOALS["idle"]
    for peer in _for_many(environment, ""):
        with peer:
            peer.check(GET_1K)
            before = peer.settled_memory()
            with idle_load.held(peer, count):
                after = peer.settled_memory()
        grown = (after.rss_bytes - before.rss_bytes) / MIB
        figure = f"{grown:.2f} MiB, {grown * MIB / count:.0f} bytes each"
        samples = {"before": before, "after": after}
        if peer.name == NODE:
            what = f"memory with {count} idle keep-alive connections"
            yield Outcome(what, figure, str(goal), goal.is_met(grown), samples)
        else:
            yield beside(peer.name, figure, samples)
        whole = (before.rss_bytes, after.rss_bytes, before.pss_bytes, after.pss_bytes)
        rss, rss_after, pss, pss_after = (size / MIB for size in whole)
        yield beside(
            "the whole process, MiB",
            f"RSS {rss:.2f} to {rss_after:.2f}, PSS {pss:.2f} to {pss_after:.2f}",
        )


def beside_idle(
    environment: Environment, counts: Sequence[int]
) -> dict[str, dict[str, list[Sample]]]:
    """Samples of busy connections, by kind of server and number of idle ones beside them."""
    require_files(_MOST_CONNECTIONS)
    with ExitStack() as stack:
        variants = {}
        for count in counts:
            for peer in _for_many(environment, f" beside {count} idle"):
                stack.enter_context(peer)
                peer.check(GET_1K)
                stack.enter_context(idle_load.held(peer, count))
                variants[peer.name] = environment.loading(peer, GET_1K, CONNECTIONS)
        samples = environment.take_turns(variants)
    return {
        kind: {name: own for name, own in samples.items() if name.startswith(kind)}
        for kind in (NODE, NGINX)
    }


def _for_many(environment: Environment, suffix: str) -> list[Peer]:
    limit = _MOST_CONNECTIONS
    return [
        environment.peers.node(NODE + suffix, "--maxconns", str(limit)),
        environment.peers.nginx(NGINX + suffix, connections=limit),
    ]


def active_beside_idle(environment: Environment) -> Iterator[Outcome]:
    few, many = 1, environment.scale.idle
    for kind, samples in beside_idle(environment, (many, few)).items():
        what = f"GET 1 KiB, {CONNECTIONS} connections beside {many} idle, to {few}"
        if kind == NODE:
            yield from set_beside(what, GOALS["beside-idle"], samples)
        else:
            beside_many, beside_few = samples.values()
            yield beside(kind, spread(by_round(beside_many, beside_few, cpu_us)), samples)


def _slopes(
    title: str, samples: Mapping[str, Sequence[Sample]], goal: Goal | None = None
) -> Iterator[Outcome]:
    """A line for each variant, with ratios to the first; the goal is for the last one."""
    yield Outcome(f"{title}: CPU to the first", samples=samples)
    first, *_, last = samples.values()
    for name, own in samples.items():
        ratios = by_round(own, first, cpu_us)
        rates = middle(own, rate) / middle(first, rate)
        note = f" {middle(own, cpu_us):.1f} us, rate {rates:.2f}"
        if goal is not None and own is last:
            yield judged(f"  {name}", goal, ratios, {}, note)
        else:
            yield beside(name, spread(ratios) + note)


def connections(environment: Environment) -> Iterator[Outcome]:
    counts = [count for count in _IDLE if count <= environment.scale.idle]
    for kind, samples in beside_idle(environment, counts).items():
        goal = GOALS["beside-idle"] if kind == NODE else None
        yield from _slopes(f"{CONNECTIONS} active beside idle connections, {kind}", samples, goal)


def device_counts(environment: Environment) -> Iterator[Outcome]:
    counts = [count for count in _DEVICES if count <= environment.scale.devices]
    yield from _slopes("devices", devices.cost(environment, counts), GOALS["devices"])


def worker_processes(environment: Environment) -> Iterator[Outcome]:
    with ExitStack() as stack:
        variants = {}
        for count in _PROCESSES:
            peer = environment.peers.node(f"{count} processes", "--worker-processes", str(count))
            stack.enter_context(peer)
            variants[peer.name] = environment.loading(peer, GET_1K, CONNECTIONS)
        yield from _slopes("worker processes", environment.take_turns(variants))


def sizes(environment: Environment) -> Iterator[Outcome]:
    """Files of all sizes beside nginx, judged where a size has a goal."""
    with ExitStack() as stack:
        peers = [environment.peers.node(), environment.peers.nginx()]
        for peer in peers:
            stack.enter_context(peer)
        for number, size in enumerate(_SIZES):
            if size > environment.scale.put_large_bytes:
                return
            work = Workload(f"get-{size}", "GET", size, _FIRST_FID + 1000 * number, files=1)
            for peer in peers:
                write_files(peer.docroot, work)
            samples = environment.measure(work, CONNECTIONS if size < _LARGE else 1, peers)
            yield from set_beside(f"{work.title}, to nginx", size_goal(size), samples, size)


def size_goal(size: int) -> Goal | None:
    return GOALS[_SIZES_WITH_GOALS[size]] if size in _SIZES_WITH_GOALS else None
