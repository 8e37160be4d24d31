"""Requests beside peers: nginx, cmogstored, or the same node before a change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

from bench.base.figures import Sample, best_of, by_round, cpu_us, middle, p99_s, rate, spread
from bench.base.goals import AGAINST, GOALS, RATE, Goal
from bench.base.machine import Unmeasurable
from bench.base.outcome import Outcome, beside, judged
from bench.environment import Environment
from bench.servers.peers import BEFORE, CMOGSTORED, NGINX, NODE, Peer, Peers
from bench.servers.workloads import GET_1K, GET_100M, KIB, WORKLOADS, Workload, write_files

Maker = Callable[[Peers], Peer]

CONNECTIONS = 16
# So many that one that begins or ends leaves no gap.
_LARGE_CONNECTIONS = 4
_MANY_THREADS, _FEW_THREADS = 200, 4


def set_beside(
    what: str, goal: Goal | None, samples: Mapping[str, Sequence[Sample]], size: int = 0
) -> Iterator[Outcome]:
    """The first one's ratios to the others, judged, and what each of them reached.

    Processor time is set beside that of the second one, and the rate beside the best of all.
    """
    ours, *others = samples.values()
    base = best_of(others) if goal is not None and goal.figure == RATE else others[0]
    cpu, rates = by_round(ours, base, cpu_us), by_round(ours, base, rate)
    if goal is None:
        yield Outcome(what, f"{spread(cpu)} CPU; rate {spread(rates)}", samples=samples)
    else:
        by_rate = goal.figure == RATE
        note = f"; CPU {spread(cpu)}" if by_rate else f"; rate {spread(rates)}"
        yield judged(what, goal, rates if by_rate else cpu, samples, note)
    for name, own in samples.items():
        reached = f"{middle(own, rate):.0f}/s  {middle(own, cpu_us):.1f} us CPU"
        reached += f"  p99 {middle(own, p99_s) * 1e3:.2f} ms"
        if size >= 64 * KIB:
            reached += f"  {middle(own, rate) * size / 1e6:.0f} MB/s"
        yield beside(name, reached)


def makers_of(environment: Environment) -> dict[str, Maker]:
    """What makes the node, and what it is compared with."""
    before, cmogstored = environment.before, environment.cmogstored
    if before is not None:
        found = {NODE: _node, BEFORE: lambda peers: peers.node(BEFORE, command=before)}
    elif environment.calibrate:
        found = {"nginx again": lambda peers: peers.nginx("nginx again"), NGINX: _nginx}
    else:
        found = {NODE: _node, NGINX: _nginx}
    if cmogstored is not None:
        found[CMOGSTORED] = lambda peers: peers.cmogstored(cmogstored)
    return found


def _node(peers: Peers) -> Peer:
    return peers.node()


def _nginx(peers: Peers) -> Peer:
    return peers.nginx()


def peers_of(environment: Environment) -> list[Peer]:
    """The node, and what it is compared with."""
    return [make(environment.peers) for make in makers_of(environment).values()]


def goal_of(environment: Environment, name: str) -> Goal | None:
    """The goal of that name, or what there is in its place beside these peers."""
    if environment.before is not None:
        return AGAINST
    return None if environment.calibrate else GOALS.get(name)


def compare(
    environment: Environment,
    goal: Goal | None,
    peers: Sequence[Peer],
    work: Workload,
    counts: Sequence[int],
) -> Iterator[Outcome]:
    """Let the peers take turns at a workload with each number of connections."""
    with ExitStack() as stack:
        for peer in peers:
            stack.enter_context(peer)
        names = [peer.name for peer in peers[1:]]
        better = f"the better of {' and '.join(names)}"
        to = better if goal and goal.figure == RATE and len(names) > 1 else names[0]
        for connections in counts:
            samples = environment.measure(work, connections, peers)
            many = "connection" if connections == 1 else "connections"
            what = f"{work.title}, {connections} {many}, to {to}"
            yield from set_beside(what, goal, samples, work.size)


def workload(name: str, counts: Sequence[int] = ()) -> Callable[[Environment], Iterator[Outcome]]:
    """What measures a small workload beside the peers; without `counts` as the options say."""

    def measure(environment: Environment) -> Iterator[Outcome]:
        goal, wanted = goal_of(environment, name), counts or environment.connections
        return compare(environment, goal, peers_of(environment), WORKLOADS[name], wanted)

    return measure


def to_cmogstored(environment: Environment) -> Iterator[Outcome]:
    if environment.cmogstored is None:
        raise Unmeasurable("no --cmogstored given")
    peers = [environment.peers.node(), environment.peers.cmogstored(environment.cmogstored)]
    goal = GOALS["get-1k-cmogstored"]
    return compare(environment, goal, peers, GET_1K, environment.connections)


def get_large(environment: Environment) -> Iterator[Outcome]:
    peers = peers_of(environment)
    for peer in peers:
        write_files(peer.docroot, GET_100M)
    return compare(environment, GOALS["get-100m"], peers, GET_100M, [_LARGE_CONNECTIONS])


def threads(environment: Environment) -> Iterator[Outcome]:
    peers = [
        environment.peers.node(f"{count} threads", "--aio-threads", str(count))
        for count in (_MANY_THREADS, _FEW_THREADS)
    ]
    return compare(environment, GOALS["threads"], peers, GET_1K, [CONNECTIONS])
