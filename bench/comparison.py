"""The three kinds of comparison: works beside the peers, cost of threads, idle memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from bench import idle, table
from bench.figures import Sample
from bench.options import Options
from bench.peers import NGINX, NODE, Peer, Workshop
from bench.rounds import Method, check_answers
from bench.works import GET_1K, IDLE, THREADS, WORKS

_FEW_THREADS = 4
_MANY_THREADS = 200
_THREADS_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs what the options ask for; shows each row at once and records all samples."""

    options: Options
    workshop: Workshop
    method: Method
    show: Callable[[str], None]
    record: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> None:
        self._works()
        if THREADS in self.options.works:
            self._threads()
        if IDLE in self.options.works:
            self._idle()

    def _works(self) -> None:
        wanted = [work for work in WORKS if work.name in self.options.works]
        if not wanted:
            return
        with ExitStack() as stack:
            peers = [stack.enter_context(peer) for peer in self._peers()]
            self.show(table.heading())
            for work in wanted:
                for connections in self.options.connections:
                    samples = self.method.measure(work, connections, peers)
                    self.show(table.rows(work.name, work.size, connections, samples, NGINX, NODE))
                    self._keep(work.name, connections, samples)

    def _peers(self) -> list[Peer]:
        if self.options.calibrate:
            first = self.workshop.nginx("nginx again")
        else:
            first = self.workshop.node(extra=self.options.node_args)
        peers = [first, self.workshop.nginx()]
        if self.options.cmogstored is not None:
            peers.append(self.workshop.cmogstored(self.options.cmogstored))
        return peers

    def _threads(self) -> None:
        samples = compare_threads(self.workshop, self.method, self.options.node_args)
        many, few = samples
        self.show(f"\nthe node with many and with few disk threads, {GET_1K.name}")
        self.show(table.heading())
        self.show(table.rows(THREADS, GET_1K.size, _THREADS_CONNECTIONS, samples, few, many))
        self._keep(THREADS, _THREADS_CONNECTIONS, samples)

    def _idle(self) -> None:
        idle.raise_file_limit(idle.SERVER_CONNECTIONS)
        limit = idle.SERVER_CONNECTIONS
        self.show("\n" + table.idle_heading(idle.CONNECTIONS))
        for name, peer in (
            (NODE, self._node_with("mogstored idle", "--maxconns", str(limit))),
            (NGINX, self.workshop.nginx("nginx idle", connections=limit)),
        ):
            self.method.progress(f"{name}: {idle.CONNECTIONS} idle connections")
            with peer:
                check_answers(peer, GET_1K)
                growth = idle.measure(peer)
            self.method.progress("")
            self.show(table.idle_row(name, growth, NODE))
            self.record.append({"work": IDLE, "peer": name, **asdict(growth)})

    def _node_with(self, name: str, *more: str) -> Peer:
        return self.workshop.node(name, [*self.options.node_args, *more])

    def _keep(self, name: str, connections: int, samples: Mapping[str, Sequence[Sample]]) -> None:
        rounds = {peer: [asdict(sample) for sample in own] for peer, own in samples.items()}
        self.record.append({"work": name, "connections": connections, "rounds": rounds})


def compare_threads(
    workshop: Workshop, method: Method, node_args: Sequence[str] = ()
) -> dict[str, list[Sample]]:
    """The samples of a node with many disk threads and of one with few, in that order."""
    with ExitStack() as stack:
        peers = []
        for count in (_MANY_THREADS, _FEW_THREADS):
            arguments = [*node_args, "--aio-threads", str(count)]
            peers.append(stack.enter_context(workshop.node(f"{count} threads", arguments)))
        return method.measure(GET_1K, _THREADS_CONNECTIONS, peers)
