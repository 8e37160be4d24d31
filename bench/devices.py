"""Nodes with many devices: the cost of a request, and what the usage round does to one.

The same number of files lies on one device or is spread over many, and requests go to all of
them at random; so what differs is the number of devices alone. Each node has a sidechannel,
without which it would not look at its devices at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.figures import Sample
from bench.isolation.clients import Load
from bench.isolation.figures import Pair, Run
from bench.isolation.place import PATH_FORMAT
from bench.peers import Peer, PeerFailed, Workshop, free_port
from bench.rounds import Method, Variant
from bench.works import KIB, fill

FILES = 500
CONNECTIONS = 16
_INTERVAL = "MOG_DISK_USAGE_INTERVAL"
_EACH_SECOND, _NEVER = 1, 86_400
# Long enough for a round to show, and short beside the second between two.
_LOOK_S = 0.1
_LOOK_LIMIT_S = 10.0


def cost(workshop: Workshop, method: Method, counts: Sequence[int]) -> dict[str, list[Sample]]:
    """Samples of nodes that have so many devices, each looked at as often as by default."""
    with ExitStack() as stack:
        variants = []
        for count in counts:
            peer = stack.enter_context(_node(workshop, f"{count} devices", count))
            load = Load(method.load.wrk, CONNECTIONS, 1, count, FILES // count)
            variants.append(Variant(peer.name, _sampling(peer, load)))
        return method.take_turns("devices", variants)


@dataclass(frozen=True, slots=True)
class UsageRounds:
    """The same load while devices are looked at each second, and while nobody looks."""

    pairs: list[Pair]
    rounds_s: list[float]
    """From the first to the last device of a usage round, one for each run."""

    @property
    def runs(self) -> tuple[list[Run], list[Run]]:
        """Those without and those with the rounds."""
        return [pair.without for pair in self.pairs], [pair.during for pair in self.pairs]


def beside_usage_rounds(workshop: Workshop, method: Method, count: int) -> UsageRounds:
    """Raises: PeerFailed when the rounds did not come, or came to the wrong node."""
    with ExitStack() as stack:
        busy = stack.enter_context(_node(workshop, "usage rounds", count, _EACH_SECOND))
        calm = stack.enter_context(_node(workshop, "no usage rounds", count, _NEVER))
        load = Load(method.load.wrk, CONNECTIONS, 1, count, FILES // count)
        rounds_s: list[float] = []

        def run_busy(seconds: int) -> Run:
            before = _looked_at(busy, count)
            # One more than the interval, so that a round begins and ends within the run.
            found = _answered(busy, load.run(busy, seconds + _EACH_SECOND))
            rounds_s.append(_round_s(before, _looked_at(busy, count)))
            return found

        def run_calm(seconds: int) -> Run:
            before = _looked_at(calm, count)
            found = _answered(calm, load.run(calm, seconds + _EACH_SECOND))
            if _looked_at(calm, count) != before:
                raise PeerFailed("a usage round ran where none should")
            return found

        runs = method.take_turns(
            "usage", [Variant("with", run_busy), Variant("without", run_calm)]
        )
    pairs = [Pair(*pair) for pair in zip(runs["without"], runs["with"], strict=True)]
    return UsageRounds(pairs, rounds_s)


def _node(workshop: Workshop, name: str, count: int, interval_s: int | None = None) -> Peer:
    peer = workshop.node(name, ["--mgmtlisten", f"127.0.0.1:{free_port()}"])
    if interval_s is not None:
        peer.environment[_INTERVAL] = str(interval_s)
    for device in range(1, count + 1):
        for number in range(1, FILES // count + 1):
            file = peer.docroot / (PATH_FORMAT % (device, number))[1:]
            file.parent.mkdir(parents=True, exist_ok=True)
            fill(file, KIB)
    return peer


def _sampling(peer: Peer, load: Load) -> Callable[[int], Sample]:
    """Return what runs the load and counts the processor time."""

    def run(seconds: int) -> Sample:
        before_s = peer.cpu_s()
        found = _answered(peer, load.run(peer, seconds))
        used_s = peer.cpu_s() - before_s
        return Sample(found.requests, found.duration_s, (found.p99_ms or 0.0) / 1e3, used_s)

    return run


def _answered(peer: Peer, run: Run) -> Run:
    if not run.requests:
        raise PeerFailed(f"{peer.name} answers nothing: {peer.log_tail()}")
    return run


def _looked_at(peer: Peer, count: int) -> list[int]:
    """When each device was looked at last (ns), between two rounds: its usage file says so."""
    files = [peer.docroot / f"dev{device}" / "usage" for device in range(1, count + 1)]

    def look() -> list[int]:
        return [file.stat().st_mtime_ns for file in files if file.exists()]

    deadline = time.monotonic() + _LOOK_LIMIT_S
    seen = look()
    while time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        last, seen = seen, look()
        if seen == last and len(seen) == count:
            return seen
    raise PeerFailed(f"{peer.name} has no usage round that ends: {peer.log_tail()}")


def _round_s(before: Sequence[int], after: Sequence[int]) -> float:
    """From the first to the last device of the last round."""
    if any(new <= old for old, new in zip(before, after, strict=True)):
        raise PeerFailed("no usage round was run where one should be")
    return (max(after) - min(after)) / 1e9
