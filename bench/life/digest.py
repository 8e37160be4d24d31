"""A checksum on the sidechannel, beside the same reading and hashing without a node.

Both read the file from the page cache by blocks of a MiB, in turns.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.base.figures import Sample, by_round, cpu_us, rate, spread
from bench.base.goals import GOALS
from bench.base.outcome import Outcome, beside, judged
from bench.environment import Environment
from bench.servers.peers import PeerFailed
from bench.servers.workloads import MIB

_PATH = "/dev1/large"


def measure(environment: Environment) -> Iterator[Outcome]:
    size_mib = environment.scale.digest_mib
    digests: set[str] = set()

    def timed(digest: Callable[[], str], used_s: Callable[[], float]) -> Sample:
        used, began = used_s(), time.monotonic()
        digests.add(digest())
        took_s = time.monotonic() - began
        return Sample(1, took_s, took_s, used_s() - used)

    with environment.peers.node(mgmt=True) as node, node.connect_sidechannel() as sidechannel:
        file = node.docroot / _PATH[1:]
        with file.open("wb") as opened:
            for _ in range(size_mib):
                opened.write(os.urandom(MIB))
        samples = environment.take_turns(
            {
                "node": lambda _: timed(lambda: _ask(sidechannel), node.cpu_s),
                "hashlib": lambda _: timed(lambda: _hash(file), time.process_time),
            }
        )
    if len(digests) != 1:
        raise PeerFailed(f"digests differ: {', '.join(digests)}")
    ours, alone = samples.values()
    what = f"MD5 of a cached file of {size_mib} MiB on the sidechannel"
    yield judged(what, GOALS["digest"], by_round(ours, alone, rate), samples, " of hashlib alone")
    yield beside("CPU seconds, to hashlib alone", spread(by_round(ours, alone, cpu_us)))


def _ask(sidechannel: socket.socket) -> str:
    sidechannel.sendall(f"MD5 {_PATH}\r\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        answer += sidechannel.recv(1000) or b"\n"
    return answer.decode().strip().removeprefix(f"{_PATH} MD5=")


def _hash(file: Path) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    # Whole pages: how fast the kernel fills a bytearray depends on its alignment.
    block = memoryview(mmap.mmap(-1, MIB, flags=mmap.MAP_PRIVATE))
    with file.open("rb", buffering=0) as opened:
        while size := opened.readinto(block):
            md5.update(block[:size])
    return md5.hexdigest()
