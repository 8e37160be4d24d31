"""Nodes with many devices: the cost of a request, and what the usage round does to one.

The same number of files lies on one device or is spread over many, and requests go to all of
them at random; so the number of devices alone differs. Each node has a sidechannel, without
which it would not read its devices' usage at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from bench.base.figures import Sample, by_round, p99_s, spread
from bench.base.goals import GOALS
from bench.base.outcome import Outcome, beside, judged
from bench.environment import Environment
from bench.requests.beside import CONNECTIONS, set_beside
from bench.servers.peers import Peer, PeerFailed, wait_for
from bench.servers.workloads import KIB, Workload, write_files

_FILES = 500
_INTERVAL = "MOG_DISK_USAGE_INTERVAL"
_EACH_SECOND, _NEVER = 1, 86_400
# Long enough for a round to show, and short beside the second between two.
_LOOK_S = 0.1
_LOOK_LIMIT_S = 10.0


def cost(environment: Environment, counts: Sequence[int]) -> dict[str, list[Sample]]:
    """Samples of nodes that have so many devices, by their names."""
    with ExitStack() as stack:
        variants = {}
        for count in counts:
            peer, work = _node(environment, f"{count} devices", count)
            stack.enter_context(peer)
            variants[peer.name] = environment.loading(peer, work, CONNECTIONS)
        return environment.take_turns(variants)


def many(environment: Environment) -> Iterator[Outcome]:
    samples = cost(environment, (environment.scale.devices, 1))
    what = f"GET 1 KiB, {environment.scale.devices} devices, to 1"
    return set_beside(what, GOALS["devices"], samples)


def usage_rounds(environment: Environment) -> Iterator[Outcome]:
    """The p99 is judged, of ten times as many rounds as usual; the longest is one request.

    Raises: PeerFailed when rounds did not come, or came to the node without them.
    """
    count = environment.scale.devices
    rounds_s: list[float] = []
    with ExitStack() as stack:
        busy, work = _node(environment, "usage rounds", count, _EACH_SECOND)
        calm, _ = _node(environment, "no usage rounds", count, _NEVER)

        def run_on(peer: Peer, note: Callable[[list[int], list[int]], None]) -> Sample:
            before = _looked_at(peer, count)
            # One more than the interval, so that a round begins and ends within the run.
            seconds = environment.seconds + _EACH_SECOND
            sample = environment.wrk.run(peer, work, CONNECTIONS, seconds)
            note(before, _looked_at(peer, count))
            return sample

        def note_round(before: list[int], after: list[int]) -> None:
            rounds_s.append(round_s(before, after))

        def require_none(before: list[int], after: list[int]) -> None:
            if before != after:
                raise PeerFailed("a usage round ran on the node without them")

        for peer in (busy, calm):
            stack.enter_context(peer)
        samples = environment.take_turns(
            {
                "with": lambda _: run_on(busy, note_round),
                "without": lambda _: run_on(calm, require_none),
            }
        )
    what = f"p99 while the usage of {count} devices is read each second"
    ratios = by_round(samples["with"], samples["without"], p99_s)
    yield judged(what, GOALS["usage"], ratios, samples, " of that without")
    longest = [spread([each.max_s * 1e3 for each in own]) for own in samples.values()]
    yield beside("the longest, ms", f"{longest[0]}; without {longest[1]}")
    yield beside("a usage round lasts, ms", spread([each * 1e3 for each in rounds_s]))


def _node(
    environment: Environment, name: str, count: int, interval_s: int | None = None
) -> tuple[Peer, Workload]:
    work = Workload("get-1k", "GET", KIB, 8_000_000, _FILES // count, devices=(1, count))
    peer = environment.peers.node(name, mgmt=True)
    if interval_s is not None:
        peer.environment[_INTERVAL] = str(interval_s)
    write_files(peer.docroot, work)
    return peer, work


def _looked_at(peer: Peer, count: int) -> list[int]:
    """When the usage of each device was read last (ns), between two rounds: by its usage file."""
    files = [peer.docroot / f"dev{device}" / "usage" for device in range(1, count + 1)]

    def look() -> list[int]:
        return [file.stat().st_mtime_ns for file in files if file.exists()]

    def settled() -> list[int]:
        seen = look()
        time.sleep(_LOOK_S)
        return seen if len(seen) == count and look() == seen else []

    return wait_for(settled, f"a usage round of {peer.name} that ends", _LOOK_LIMIT_S)


def round_s(before: Sequence[int], after: Sequence[int]) -> float:
    """From the first to the last device of the last round. Raises: PeerFailed without one."""
    if any(new <= old for old, new in zip(before, after, strict=True)):
        raise PeerFailed("no usage round was run where one should be")
    return (max(after) - min(after)) / 1e9
