"""A connection that the pool refuses is closed, and not counted as a client."""

from __future__ import annotations

from tests.support.daemon import Node
from tests.support.http import Client, ask, compose

# The first connection is refused by the pool.
REFUSING_POOL = """
import mogpoll

plain = mogpoll.WorkerPool.add

def add(self, task, *arguments, **options):
    mogpoll.WorkerPool.add = plain
    raise MemoryError("no room")

mogpoll.WorkerPool.add = add
"""


def test_refused_connection_is_closed_and_the_stop_does_not_wait_for_it() -> None:
    with Node(injected=REFUSING_POOL, checked=False) as node:
        with Client(node.http) as refused:
            refused.read_eof()
        assert ask(node.http, compose("GET", "/")).status == 200
        node.wait_for_log("could not take on an accepted connection")
        assert node.stop() == 0
