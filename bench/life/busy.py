"""The busy clients as the measuring process sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.life.child import Child
from bench.life.node import PATH, Node
from bench.life.waiting import wait_for

COUNT = 64


@dataclass(slots=True)
class Busy:
    """Clients that ask all the time. `lost` has (local port, reason) of every lost request."""

    _child: Child
    answered: list[int] = field(default_factory=list)
    connections: int = 0
    lost: list[tuple[int, str]] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.answered)

    def look(self) -> None:
        """Learn what has happened until now."""
        self._take("report")

    def see_all_served(self) -> None:
        """Wait until each client has had a request answered that it sent after this call."""
        self.look()
        # One answer more may be to a request that was under way.
        wanted = [count + 2 for count in self.answered]

        def reached() -> bool:
            self.look()
            return all(has >= want for has, want in zip(self.answered, wanted, strict=True))

        wait_for(reached, "every client is served")

    def finish(self) -> None:
        """Have no more requests sent, and wait for the answers that are due."""
        self._take("finish")

    def _take(self, command: str) -> None:
        report = self._child.ask(command)
        self.answered = report["answered"]
        self.connections = report["connections"]
        self.lost += [(port, reason) for port, reason in report["lost"]]


@contextmanager
def busy(node: Node) -> Iterator[Busy]:
    """Run the clients; each has been served when this yields."""
    with Child("bench.life.clients", node.http, PATH, COUNT) as child:
        clients = Busy(child)
        clients.see_all_served()
        yield clients
