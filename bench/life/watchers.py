"""How soon one more watcher is served, beside a crowd that is sent reports at full speed.

The crowd is a child: `python -m bench.life.watchers PORT COUNT`. It reads what it is sent, and
answers with how many blocks there were, for how many watchers, and how many were closed.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

from bench.base.goals import Goal
from bench.base.machine import require_files
from bench.base.outcome import Outcome, beside, judged
from bench.environment import Environment
from bench.load.child import Child, serve
from bench.servers.peers import Peer, PeerFailed, wait_for

_GOAL = Goal("longest", 1.5, unit=" s")
_CROWD, _TRIES, _DEVICES = 400, 10, 20
# A report is the line of a disk and an empty one. No pause between them but that of the pipe.
_FLOOD = {"MOG_IOSTAT_CMD": "yes 'sda 0.00 1.23\n'"}


def measure(environment: Environment) -> Iterator[Outcome]:
    node = environment.peers.node(mgmt=True)
    node.environment |= _FLOOD
    for number in range(1, _DEVICES + 1):
        (node.docroot / f"dev{number}").mkdir(exist_ok=True)
    with node, Child(__name__, node.mgmt, _CROWD) as crowd:
        wait_for(lambda: crowd.ask("report")["served"] == _CROWD, "all the crowd is served")
        before, used, began = crowd.ask("report"), node.cpu_s(), time.monotonic()
        times = [_first_block_s(node) for _ in range(_TRIES)]
        took_s = time.monotonic() - began
        after, cpu_s = crowd.ask("report"), node.cpu_s() - used
        if after["closed"]:
            raise PeerFailed(f"{after['closed']} watchers were closed: {node.log_tail()}")
    what = f"first block of one more watcher beside {_CROWD}"
    yield judged(what, _GOAL, times, {"first_block_s": times}, " s", by=max)
    blocks_per_s = (after["blocks"] - before["blocks"]) / took_s
    figure = f"{blocks_per_s:.0f} blocks/s, {cpu_s / took_s:.2f} processors"
    yield beside("meanwhile, to the crowd", figure)


def _first_block_s(node: Peer) -> float:
    began = time.monotonic()
    with node.connect_sidechannel() as watcher:
        watcher.sendall(b"watch\n")
        received = b"\n"
        while b"\n.\n" not in received:
            piece = watcher.recv(65536)
            if not piece:
                raise PeerFailed("the watcher was closed")
            received += piece
        return time.monotonic() - began


def main(port: int, count: int) -> None:
    require_files(count)
    selector, blocks, closed = selectors.DefaultSelector(), Counter[int](), []

    def read() -> None:
        while True:
            for key, _ in selector.select():
                piece = os.read(key.fd, 65536)
                # A dot alone on its line; one cut in two is not counted.
                blocks[key.fd] += piece.count(b".\n")
                if not piece:
                    closed.append(key.fd)
                    selector.unregister(key.fileobj)

    watchers = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(count)]
    for watcher in watchers:
        watcher.sendall(b"watch\n")
        selector.register(watcher, selectors.EVENT_READ)
    threading.Thread(target=read, daemon=True).start()
    serve(
        lambda _: {
            "blocks": blocks.total(),
            "served": len([fd for fd in list(blocks) if blocks[fd]]),
            "closed": len(closed),
        }
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
