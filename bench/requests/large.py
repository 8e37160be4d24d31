"""Large files: cost and memory of one, fairness among many, and what Content-MD5 adds.

The client discards contents in the kernel, so the server is what is measured. Contents come from
and go to the docroot's file system: in memory a PUT of 10 GiB needs 10 GiB of it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean

from bench.base.figures import Sample, by_round, cpu_us, middle, percentile, rate, spread
from bench.base.goals import GOALS
from bench.base.outcome import Outcome, beside, judged
from bench.environment import Environment
from bench.load.transfers import LARGE_PATH, downloading, share, uploading, zeros
from bench.requests.beside import set_beside
from bench.servers import processes
from bench.servers.peers import Peer
from bench.servers.workloads import MIB, size_text

_DOWNLOADS = 64
_FAIR_S = 5.0


@contextmanager
def _serving_large(environment: Environment) -> Iterator[list[Peer]]:
    """The node and nginx, each with a sparse large file."""
    peers = [environment.peers.node(), environment.peers.nginx()]
    with ExitStack() as stack:
        for peer in peers:
            file = peer.docroot / LARGE_PATH[1:]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            os.truncate(file, environment.scale.large_bytes)
            stack.enter_context(peer)
        yield peers


def get(environment: Environment) -> Iterator[Outcome]:
    return _one(environment, "GET", downloading, environment.scale.large_bytes)


def put(environment: Environment) -> Iterator[Outcome]:
    return _one(environment, "PUT", uploading, environment.scale.large_bytes)


def put_1g(environment: Environment) -> Iterator[Outcome]:
    return _one(environment, "PUT", uploading, environment.scale.put_large_bytes)


def _one(
    environment: Environment,
    method: str,
    transfer: Callable[[Peer, int], Callable[[float], Sample]],
    size: int,
) -> Iterator[Outcome]:
    """One transfer at a time, in turns."""
    with _serving_large(environment) as peers:
        variants = {peer.name: transfer(peer, size) for peer in peers}
        before = {peer.name: _peak_bytes(peer) for peer in peers}
        samples = environment.take_turns(variants, warm_up=environment.rounds > 1)
        peaks = {peer.name: _peak_bytes(peer) - before[peer.name] for peer in peers}
    goal = GOALS["get-100m" if method == "GET" else "put-1g"]
    yield next(set_beside(f"{method} {size_text(size)}, to nginx", goal, samples))
    for name, own in samples.items():
        mib_s, us_mib = middle(own, rate) * size / MIB, middle(own, cpu_us) * MIB / size
        grown = f"peak RSS grows by {peaks[name] / MIB:.1f} MiB"
        yield beside(name, f"{mib_s:.0f} MiB/s  {us_mib:.1f} us/MiB  {grown}")


def share_among_many(environment: Environment) -> Iterator[Outcome]:
    """How evenly downloads at once share the server: bytes of one against the mean."""
    with _serving_large(environment) as peers:
        yield Outcome(f"{_DOWNLOADS} downloads at once, {_FAIR_S:g} s: of the mean")
        for peer in peers:
            got = share(peer, environment.scale.large_bytes, _DOWNLOADS, _FAIR_S)
            parts = (min(got), percentile(got, 0.05), percentile(got, 0.95), max(got))
            least, low, high, most = (part / mean(got) for part in parts)
            shown = f"{sum(got) / MIB / _FAIR_S:.0f} MiB/s  least {least:.2f}  most {most:.2f}"
            yield beside(peer.name, f"{shown}  5 % {low:.2f}  95 % {high:.2f}", {"bytes": got})


def _peak_bytes(peer: Peer) -> int:
    total = 0
    for process in processes.tree(peer.pid):
        status = Path(f"/proc/{process.pid}/status").read_text()
        total += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return total


def put_md5(environment: Environment) -> Iterator[Outcome]:
    """A PUT with Content-MD5, beside hashlib on the same bytes in memory in one thread.

    The node receives and stores them as well, so all but the hashing has to be done meanwhile.
    """
    size = environment.scale.put_md5_bytes
    digest = base64.b64encode(_hash(size)).decode()
    with environment.peers.node() as node:
        samples = environment.take_turns(
            {
                "with Content-MD5": uploading(node, size, f"Content-MD5: {digest}\r\n"),
                "without": uploading(node, size),
                "hashlib": lambda _: _hashing(size),
            }
        )
    ours, without, alone = samples.values()
    what = f"PUT {size_text(size)} with Content-MD5, to hashlib alone"
    yield judged(what, GOALS["put-md5"], by_round(ours, alone, rate), samples)
    yield beside("the same PUT without Content-MD5", spread(by_round(without, alone, rate)))
    rounds = zip(ours, without, alone, strict=True)
    added = [(one.cpu_s - other.cpu_s) / base.cpu_s for one, other, base in rounds]
    yield beside("CPU seconds that it adds, to hashlib alone", spread(added))


def _hashing(size: int) -> Sample:
    used_s, began = time.process_time(), time.monotonic()
    _hash(size)
    took_s = time.monotonic() - began
    return Sample(1, took_s, took_s, time.process_time() - used_s)


def _hash(size: int) -> bytes:
    md5 = hashlib.md5(usedforsecurity=False)
    for piece in zeros(size):
        md5.update(piece)
    return md5.digest()
