"""How a node's own worker processes share connections that arrive slowly and stay.

Each connection has a request answered before the next one comes, so it has been taken; then
the system says which process has how many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench import cpu, idle
from bench.balance.shares import Shares
from bench.peers import Peer, PeerFailed, Workshop

PROCESSES = 4
CONNECTIONS = 4000
_SPARE_DESCRIPTORS = 1000
# In /proc/net/tcp.
_ESTABLISHED = "01"
# Time enough to go back to sleep for the process that took the last one.
_PAUSE_S = 0.0005


def share(workshop: Workshop, connections: int, processes: int = PROCESSES) -> Shares:
    """Raises: PeerFailed when a connection is not found with any worker."""
    idle.raise_file_limit(connections + _SPARE_DESCRIPTORS, "leave this out")
    arguments = ["--worker-processes", str(processes), "--maxconns", str(2 * connections)]
    with (
        workshop.node("mogstored workers", arguments) as peer,
        idle.held(peer, connections, _PAUSE_S),
    ):
        counts = _connections_of_workers(peer)
    if len(counts) != processes or sum(counts) != connections:
        raise PeerFailed(f"{connections} connections to {processes} workers, found: {counts}")
    return Shares(tuple(counts))


def _connections_of_workers(peer: Peer) -> list[int]:
    ours = _established(peer.port)
    workers = [stat.pid for stat in cpu.tree(peer.pid) if stat.parent == peer.pid]
    return [sum(socket in ours for socket in _open_files(pid)) for pid in workers]


def _established(port: int) -> set[str]:
    """The server's ends of all connections to a port, as they are named in /proc/PID/fd."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _ESTABLISHED and int(fields[1].rpartition(":")[2], 16) == port:
            found.add(f"socket:[{fields[9]}]")
    return found


def _open_files(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        # A descriptor may be closed meanwhile; then it is no client of ours.
        with suppress(FileNotFoundError):
            yield os.readlink(entry)
