"""Rows of many connections: the memory of idle ones, the cost beside them, their spreading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from bench import idle
from bench.balance import workers
from bench.budgets.setting import Setting, plain
from bench.figures import by_round, cpu_us
from bench.goals import GOALS
from bench.growth import ACTIVE, beside_idle
from bench.outcome import Outcome, beside, judged, spread
from bench.peers import NGINX, NODE, Peer
from bench.rounds import check_answers
from bench.works import GET_1K, MIB


def memory(setting: Setting) -> Iterator[Outcome]:
    """What the connections add is judged; the whole process stands below."""
    idle.raise_file_limit(idle.SERVER_CONNECTIONS, "leave this out")
    count, limit = setting.scale.idle, idle.SERVER_CONNECTIONS
    ours = _growth(setting.workshop.node("node", ["--maxconns", str(limit)]), count)
    base = _growth(setting.workshop.nginx("nginx", limit), count)
    what = f"memory with {count} idle keep-alive connections"
    grown = ours.rss_bytes / MIB
    samples = {NODE: asdict(ours), NGINX: asdict(base)}
    goal = GOALS["idle"]
    yield Outcome(what, str(goal), _of_connections(ours), goal.is_met(grown), samples)
    yield beside("the whole process", f"{ours.after.rss_bytes / MIB:.2f} MiB")
    yield beside("nginx", f"{_of_connections(base)}; whole: {base.after.rss_bytes / MIB:.2f} MiB")


def _growth(peer: Peer, count: int) -> idle.Growth:
    with peer:
        check_answers(peer, GET_1K)
        return idle.measure(peer, count)


def _of_connections(growth: idle.Growth) -> str:
    each = growth.rss_bytes / growth.connections
    return f"{growth.rss_bytes / MIB:.2f} MiB, {each:.0f} bytes each"


def active_beside_idle(setting: Setting) -> Iterator[Outcome]:
    few, many = 1, setting.scale.idle
    samples = beside_idle(setting.workshop, setting.method, (few, many))
    ratios = {kind: by_round(own[many], own[few], cpu_us) for kind, own in samples.items()}
    what = f"GET 1 KiB, {ACTIVE} connections beside {many} idle, to {few}"
    by_name = {
        f"{kind} beside {count}": runs
        for kind, own in samples.items()
        for count, runs in own.items()
    }
    yield judged(what, GOALS["beside-idle"], ratios[NODE], plain(by_name))
    yield beside("nginx", spread(ratios[NGINX]))


def balance(setting: Setting) -> Iterator[Outcome]:
    found = workers.share(setting.workshop, setting.scale.arrivals)
    goal = GOALS["balance"]
    what = f"{found.total} slow persistent connections to {workers.PROCESSES} workers"
    yield Outcome(
        what, str(goal), str(found), goal.is_met(found.unevenness), {"counts": found.counts}
    )
