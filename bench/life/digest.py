"""A checksum on the sidechannel, beside the same reading and hashing without a node.

Both read the file from the page cache by blocks of a MiB, in turns, each round in the other
order. CPU time of the node is that of the whole process, in ticks of the kernel.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import cpu
from bench.goals import GOALS
from bench.life.node import Node
from bench.outcome import Outcome, beside, judged, spread
from bench.peers import PeerFailed
from bench.works import MIB

ROUNDS = 7
_PATH = "/dev1/large"


@dataclass(frozen=True, slots=True)
class _Run:
    hexdigest: str
    wall_s: float
    cpu_s: float


def measure(home: Path, size_mib: int, rounds: int = ROUNDS) -> list[Outcome]:
    with Node(home) as node, node.manage() as sidechannel:
        _write(node.file(_PATH), size_mib)

        def through_node() -> _Run:
            return _timed(lambda: _ask(sidechannel), lambda: cpu.cpu_s(node.pid))

        def alone() -> _Run:
            return _timed(lambda: _hash(node.file(_PATH)), time.process_time)

        pairs = [_pair(through_node, alone, number) for number in range(rounds + 1)][1:]
    return _judge(pairs, size_mib)


def _judge(pairs: list[tuple[_Run, _Run]], size_mib: int) -> list[Outcome]:
    throughput = [alone.wall_s / node.wall_s for node, alone in pairs]
    cpu_ratio = [node.cpu_s / alone.cpu_s for node, alone in pairs]
    samples = {
        f"{name}_{figure}": [getattr(pair[index], figure) for pair in pairs]
        for index, name in enumerate(("node", "hashlib"))
        for figure in ("wall_s", "cpu_s")
    }
    what = f"MD5 of a cached file of {size_mib} MiB on the sidechannel"
    return [
        judged(what, GOALS["digest"], throughput, samples, "of hashlib alone"),
        beside("CPU seconds beside hashlib alone", spread(cpu_ratio)),
    ]


def _pair(
    through_node: Callable[[], _Run], alone: Callable[[], _Run], number: int
) -> tuple[_Run, _Run]:
    if number % 2:
        other = alone()
        node = through_node()
    else:
        node = through_node()
        other = alone()
    if node.hexdigest != other.hexdigest:
        raise PeerFailed(f"digests differ: {node.hexdigest} is not {other.hexdigest}")
    return node, other


def _timed(run: Callable[[], str], cpu_s: Callable[[], float]) -> _Run:
    used, began = cpu_s(), time.monotonic()
    hexdigest = run()
    wall_s = time.monotonic() - began
    return _Run(hexdigest, wall_s, cpu_s() - used)


def _ask(sidechannel: socket.socket) -> str:
    sidechannel.sendall(f"MD5 {_PATH}\r\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        answer += sidechannel.recv(1000) or b"\n"
    return answer.decode().strip().removeprefix(f"{_PATH} MD5=")


def _hash(file: Path) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    # Whole pages: how fast the kernel fills a bytearray depends on where it happens to lie.
    block = memoryview(mmap.mmap(-1, MIB, flags=mmap.MAP_PRIVATE))
    with file.open("rb", buffering=0) as opened:
        while size := opened.readinto(block):
            md5.update(block[:size])
    return md5.hexdigest()


def _write(file: Path, size_mib: int) -> None:
    block = os.urandom(MIB)
    with file.open("wb") as opened:
        for _ in range(size_mib):
            opened.write(block)
