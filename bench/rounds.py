"""One row of the table: alternating rounds over the peers, after a check and a warm-up each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.figures import Sample
from bench.load import Load
from bench.peers import Peer, PeerFailed
from bench.report import LoadError
from bench.works import Work, content

_WARM_UP_S = 1
_Peer = TypeVar("_Peer")


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
        label = f"{work.name}, {connections} connections"
        for peer in peers:
            self.progress(f"{label}: warm-up of {peer.name}")
            check_answers(peer, work)
            self.run(peer, work, connections, _WARM_UP_S)
        samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
        for number, order in enumerate(alternating(peers, self.rounds), 1):
            for peer in order:
                self.progress(f"{label}: round {number} of {self.rounds}, {peer.name}")
                samples[peer.name].append(self.run(peer, work, connections, self.seconds))
        self.progress("")
        return samples

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


def alternating(peers: Sequence[_Peer], rounds: int) -> Iterator[list[_Peer]]:
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
