"""Rows of large PUTs: one of a GiB beside nginx, and one with Content-MD5 beside hashlib alone.

hashlib alone hashes the same bytes from memory in one thread. The node receives and stores
them as well, so what is beyond the hashing has to be done meanwhile to reach the goal.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from bench.budgets.setting import Setting, plain
from bench.figures import Sample, by_round, cpu_us, rate
from bench.goals import GOALS
from bench.large import uploading, zeros
from bench.outcome import Outcome, beside, judged, spread
from bench.rounds import Variant
from bench.works import MIB

_MD5, _PLAIN, _HASHLIB = "with Content-MD5", "without", "hashlib"


def put_large(setting: Setting) -> Iterator[Outcome]:
    size = setting.scale.put_large_bytes
    with ExitStack() as stack:
        peers = [setting.workshop.node(), setting.workshop.nginx()]
        variants = [uploading(stack.enter_context(peer), size) for peer in peers]
        samples = setting.method.take_turns(f"PUT {size // MIB} MiB", variants)
    ours, base = samples.values()
    note = f"({_ms_per_mib(ours, size)} / {_ms_per_mib(base, size)} ms/MiB)"
    ratios = by_round(ours, base, cpu_us)
    what = f"PUT {size // MIB} MiB, to nginx"
    yield judged(what, GOALS["put-1g"], ratios, plain(samples), note)
    yield beside("its rate beside that of nginx", spread(by_round(ours, base, rate)))


def put_md5(setting: Setting) -> Iterator[Outcome]:
    size = setting.scale.put_md5_bytes
    digest = base64.b64encode(_hash(size)).decode()
    with setting.workshop.node() as node:
        variants = [
            uploading(node, size, _MD5, f"Content-MD5: {digest}\r\n"),
            uploading(node, size, _PLAIN),
            Variant(_HASHLIB, lambda _: _hashing(size)),
        ]
        samples = setting.method.take_turns("PUT with Content-MD5", variants)
    ours, without, alone = (samples[name] for name in (_MD5, _PLAIN, _HASHLIB))
    ratios = by_round(ours, alone, rate)
    what = f"PUT {size // MIB} MiB with Content-MD5, to hashlib alone"
    yield judged(what, GOALS["put-md5"], ratios, plain(samples), "of its throughput")
    yield beside("the same PUT without Content-MD5", spread(by_round(without, alone, rate)))
    added = [
        (one.cpu_s - other.cpu_s) / base.cpu_s
        for one, other, base in zip(ours, without, alone, strict=True)
    ]
    yield beside("CPU seconds that it adds, beside hashlib alone", spread(added))


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


def _ms_per_mib(samples: list[Sample], size: int) -> str:
    return f"{median(map(cpu_us, samples)) / 1e3 * MIB / size:.2f}"
