"""One row of the table: alternating rounds over the peers, after a check and a warm-up each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bench.figures import Sample
from bench.load import Load
from bench.peers import Peer, PeerFailed
from bench.report import LoadError
from bench.works import Work, content

_WARM_UP_S = 1
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Variant(Generic[_T]):
    """One of those that take turns: its name, and what runs it for so many seconds."""

    name: str
    run: Callable[[int], _T]


@dataclass(frozen=True, slots=True)
class Method:
    """How a row is measured."""

    load: Load
    rounds: int
    seconds: int
    progress: Callable[[str], None]

    def measure(
        self, work: Work, connections: int, peers: Sequence[Peer]
    ) -> dict[str, list[Sample]]:
        """Give the samples of every peer, in the order of the rounds."""
        for peer in peers:
            check_answers(peer, work)
        variants = [self.variant(peer, work, connections) for peer in peers]
        return self.take_turns(f"{work.name}, {connections} connections", variants)

    def variant(self, peer: Peer, work: Work, connections: int) -> Variant[Sample]:
        return Variant(peer.name, lambda seconds: self.run(peer, work, connections, seconds))

    def take_turns(
        self, label: str, variants: Sequence[Variant[_T]], *, warm_up: bool = True
    ) -> dict[str, list[_T]]:
        """Run all of them in every round; the results by name, in the order of the rounds."""
        for each in variants if warm_up else ():
            self.progress(f"{label}: warm-up of {each.name}")
            each.run(_WARM_UP_S)
        found: dict[str, list[_T]] = {each.name: [] for each in variants}
        for number, order in enumerate(alternating(variants, self.rounds), 1):
            for each in order:
                self.progress(f"{label}: round {number} of {self.rounds}, {each.name}")
                found[each.name].append(each.run(self.seconds))
        self.progress("")
        return found

    def run(self, peer: Peer, work: Work, connections: int, seconds: int) -> Sample:
        """Run one load on one peer. Raises: LoadError, PeerFailed."""
        before_s = peer.cpu_s()
        try:
            report = self.load.run(work, connections, peer.port, seconds)
        except LoadError as error:
            where = f"{peer.name}, {work.name}, {connections} connections"
            raise LoadError(f"{where}: {error}\nits log ends with: {peer.log_tail()}") from error
        peer.require_alive()
        cpu_s = peer.cpu_s() - before_s
        return Sample(report.requests, report.duration_s, report.p99_s, cpu_s)


def quiet(_: str) -> None:
    """No progress."""


def alternating(peers: Sequence[_T], rounds: int) -> Iterator[list[_T]]:
    """The order of each round: every other one is reversed, so that no peer is always first."""
    for number in range(rounds):
        yield list(reversed(peers)) if number % 2 else list(peers)


def check_answers(peer: Peer, work: Work) -> None:
    """See once, byte by byte, that the peer does the work; wrk looks at statuses only."""
    path, body = work.path(0), content(work)
    if work.method == "PUT":
        status, _ = peer.request("PUT", path, body)
        right = status in (201, 204) and (peer.docroot / path[1:]).read_bytes() == body
    else:
        status, answer = peer.request("GET", path)
        right = status == 200 and answer == body
    if not right:
        raise PeerFailed(f"{peer.name} answers {work.method} {path} with {status} or wrong bytes")
