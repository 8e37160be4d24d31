"""Many idle keep-alive connections: `python -m bench.load.idle_load PORT PATH COUNT PAUSE_S`.

A child holds them, so that its descriptors and its memory are not ours. Each has one request
answered before the next one comes. Its first answer says how many it has, the second one how many
the server has closed.
"""

from __future__ import annotations

import http.client
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.base.machine import require_files
from bench.load.child import Child, serve
from bench.servers.peers import Peer, PeerFailed
from bench.servers.workloads import GET_1K

_SOURCES = 4


@contextmanager
def held(peer: Peer, count: int, pause_s: float = 0.0) -> Iterator[None]:
    """Hold connections that came one after the other, each `pause_s` after the last.

    Raises: PeerFailed unless the server takes them all and keeps them all.
    """
    with Child(__name__, peer.port, GET_1K.path(0), count, pause_s) as child:
        try:
            child.ask("how many?")
        except PeerFailed as error:
            raise PeerFailed(f"{peer.name}, {count} idle: {error}: {peer.log_tail()}") from error
        yield
        if closed := child.ask("how many closed?"):
            raise PeerFailed(f"{peer.name} has closed {closed} of {count} idle connections")


def main(port: int, path: str, count: int, pause_s: float) -> None:
    require_files(count)
    poll, connections = select.poll(), []
    for number in range(count):
        time.sleep(pause_s)
        # More source addresses than one: some systems have too few free ports on one.
        source = (f"127.0.0.{2 + number % _SOURCES}", 0)
        connection = http.client.HTTPConnection("127.0.0.1", port, 30, source)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200 or answer.will_close:
            sys.exit(f"unexpected answer: {answer.status}")
        poll.register(connection.sock, select.POLLIN)
        connections.append(connection)
    answers = iter((lambda: len(connections), lambda: len(poll.poll(0))))
    serve(lambda _: next(answers)())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
