"""One large download or upload at a time, and many downloads at once."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

from bench.base.figures import Sample
from bench.load import large_get_client
from bench.load.large_get_client import Download
from bench.load.wrk import parse_report
from bench.servers.peers import Peer, PeerFailed
from bench.servers.workloads import MIB

LARGE_PATH, STORED_PATH = "/dev1/0/000/000/large.fid", "/dev1/0/000/000/stored.fid"
_PIECE = memoryview(bytearray(MIB))
_TIMEOUT_S = 600.0


def downloading(peer: Peer, size: int) -> Callable[[float], Sample]:
    """What downloads the large file once, however long a run is meant to be."""

    def run(_: float) -> Sample:
        used_s = peer.cpu_s()
        sample = parse_report(large_get_client.run(peer.port, [LARGE_PATH], size, 1, 0.0))
        return replace(sample, cpu_s=peer.cpu_s() - used_s)

    return run


def uploading(peer: Peer, size: int, fields: str = "") -> Callable[[float], Sample]:
    """What stores zeros once under a new name, which is free again afterwards."""
    file = peer.docroot / STORED_PATH[1:]
    file.parent.mkdir(parents=True, exist_ok=True)

    def run(_: float) -> Sample:
        used_s, began = peer.cpu_s(), time.monotonic()
        with socket.create_connection(("127.0.0.1", peer.port), _TIMEOUT_S) as sock:
            head = f"Host: bench\r\nContent-Length: {size}\r\n{fields}\r\n"
            sock.sendall(f"PUT {STORED_PATH} HTTP/1.1\r\n{head}".encode())
            for piece in zeros(size):
                sock.sendall(piece)
            answer = sock.recv(4096)
        if b" 201 " not in answer and b" 204 " not in answer:
            raise PeerFailed(f"{peer.name}: unexpected answer: {answer!r}")
        took_s = time.monotonic() - began
        sample = Sample(1, took_s, took_s, peer.cpu_s() - used_s)
        file.unlink()
        return sample

    return run


def zeros(size: int) -> Iterator[memoryview]:
    """The content of a stored file, piece by piece."""
    for begin in range(0, size, MIB):
        yield _PIECE[: min(MIB, size - begin)]


def share(peer: Peer, size: int, count: int, seconds: float) -> list[int]:
    """Download the large file over `count` connections at once; return the bytes of each.

    Raises: PeerFailed when a download ends within that time.
    """
    with ExitStack() as stack:
        poll, downloads = stack.enter_context(select.epoll()), {}
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", peer.port), 30))
            downloads[sock.fileno()] = Download(sock, size, missing=size)
            downloads[sock.fileno()].ask(LARGE_PATH)
            poll.register(sock, select.EPOLLIN)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for fd, _ in poll.poll(1):
                if not downloads[fd].receive():
                    raise PeerFailed("a download ended early: give a larger --gib")
        return [size - each.missing for each in downloads.values()]
