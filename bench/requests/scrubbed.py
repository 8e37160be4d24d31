"""Requests beside a scrub: two nodes that take turns, one of which scrubs.

The one that scrubs is suspended while the other one is asked, or the scrub of an idle node would
slow down what it is compared with. How much was read in a turn is shown, too: a scrub that rests
all the time delays no request.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psutil

from bench.base.figures import Sample, by_round, cpu_us, p99_s, spread
from bench.base.goals import P99, Goal
from bench.base.outcome import Outcome, beside, judged
from bench.environment import Environment
from bench.servers.peers import Peer, PeerFailed, free_port, wait_for
from bench.servers.workloads import KIB, MIB, WORKLOADS, Workload

GOAL = Goal(P99, 1.2)
# Those of one client do not let a device rest, either.
_CONNECTIONS = 8
# Enough for a round of the scrub to last for all of a turn.
_STORED = Workload("get-16k", "GET", 16 * KIB, 9_000_000, files=4000)
# It begins anew when it has read all.
_SCRUB = ("--scrub", "1s")
_LIMIT_S = 60.0


def beside_scrub(method: str) -> Callable[[Environment], Iterator[Outcome]]:
    """The p99 of GETs of the files that are read again, or of PUTs of new ones."""
    work = _STORED if method == "GET" else WORKLOADS["put-1k"]

    def measure(environment: Environment) -> Iterator[Outcome]:
        read: list[int] = []
        with ExitStack() as stack:
            admin = free_port()
            scrubs, rests = (
                environment.peers.node(name, "--adminlisten", f"127.0.0.1:{port}", *options)
                for name, port, options in (
                    ("scrub", admin, _SCRUB),
                    ("no scrub", free_port(), ()),
                )
            )
            for peer in (scrubs, rests):
                stack.enter_context(peer)
                _store(peer)
                peer.check(work)
            wait_for(lambda: _read_bytes(admin), "the scrub has begun", _LIMIT_S)
            process = psutil.Process(scrubs.pid)

            def run_with(seconds: float) -> Sample:
                before = _read_bytes(admin)
                sample = environment.wrk.run(scrubs, work, _CONNECTIONS, seconds)
                read.append(_read_bytes(admin) - before)
                return sample

            def run_without(seconds: float) -> Sample:
                process.suspend()
                try:
                    return environment.wrk.run(rests, work, _CONNECTIONS, seconds)
                finally:
                    process.resume()

            samples = environment.take_turns({"with": run_with, "without": run_without})
            ours, base = samples["with"], samples["without"]
        if not any(read):
            raise PeerFailed("nothing was read again")
        what = f"p99 of {work.title} beside a scrub"
        yield judged(what, GOAL, by_round(ours, base, p99_s), samples, " of that without")
        for name, own in samples.items():
            yield beside(f"p99 {name}, ms", spread([p99_s(each) * 1e3 for each in own]))
        yield beside("CPU of a request, to that without", spread(by_round(ours, base, cpu_us)))
        yield beside("read again in a turn, MiB", spread([each / MIB for each in read]))

    return measure


def _store(peer: Peer) -> None:
    """Store the files by PUT, each with a checksum."""
    content = b"m" * _STORED.size
    headers = {"Content-MD5": base64.b64encode(hashlib.md5(content).digest()).decode()}
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=_LIMIT_S)
    for index in range(_STORED.files):
        connection.request("PUT", _STORED.path(index), content, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise PeerFailed(f"PUT of a file: {answer.status}")
    connection.close()


def _read_bytes(port: int) -> int:
    """How many bytes were read again so far, as the admin listener says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT_S)
    connection.request("GET", "/status.json")
    devices = json.loads(connection.getresponse().read())["devices"]
    connection.close()
    return sum(each["scrub"]["read_bytes"] for each in devices if each["scrub"])
