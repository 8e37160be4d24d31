"""Many watchers in one process: `python -m bench.life.crowd PORT COUNT`.

They read what they are sent. Each command is answered with how many blocks there were in all,
by how many watchers, and how many of them were closed.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys

from bench.idle import raise_file_limit

_SPARE_DESCRIPTORS = 100
_STDIN = 0
_READ = selectors.EVENT_READ


def main(port: int, count: int) -> None:
    raise_file_limit(count + _SPARE_DESCRIPTORS)
    selector = selectors.DefaultSelector()
    selector.register(_STDIN, _READ)
    for _ in range(count):
        watcher = socket.create_connection(("127.0.0.1", port), 30)
        watcher.sendall(b"watch\n")
        selector.register(watcher, _READ)
    blocks: dict[object, int] = {}
    closed = 0
    while True:
        for key, _ in selector.select():
            if key.fd == _STDIN:
                if not os.read(_STDIN, 100):
                    return
                told = {"blocks": sum(blocks.values()), "served": len(blocks), "closed": closed}
                print(json.dumps(told), flush=True)
                continue
            piece = os.read(key.fd, 65536)
            if piece:
                # A dot alone on its line; one cut in two is not counted.
                blocks[key.fd] = blocks.get(key.fd, 0) + piece.count(b".\n")
            else:
                closed += 1
                selector.unregister(key.fileobj)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
