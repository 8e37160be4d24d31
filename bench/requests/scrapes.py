"""What scrapes of 500 devices cost: the admin process, the memory of the node, and its requests.

Every device has been written to, read and deleted from, so that its series are all there.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.base.figures import Sample, by_round, p99_s, spread
from bench.base.goals import P99, Goal
from bench.base.outcome import Outcome, beside, judged
from bench.environment import Environment
from bench.requests.beside import CONNECTIONS
from bench.servers import processes
from bench.servers.peers import Peer, PeerFailed, free_port
from bench.servers.workloads import KIB, MIB, Workload, write_files

GOALS = {
    "exposition": Goal("CPU of the admin process", 20.0, unit=" ms"),
    "memory": Goal("PSS growth", 6.0, unit=" MiB"),
    "p99": Goal(P99, 1.1),
}
_NAME = "mogstored-admin"
_SCRAPES = 100
_FILES = 500
_EACH_S = 1.0
_PAUSE_S = 0.15
_PATIENCE_S = 30.0
_WORKERS = ("--worker-processes", "4")


def exposition(environment: Environment) -> Iterator[Outcome]:
    """From a scrape to its last byte: asking, adding up, writing 20,000 lines and more."""
    with _observed(environment, "observed") as (peer, port):
        _work(peer, environment.scale.devices)
        _scrape(port)
        (admin,) = (each for each in processes.tree(peer.pid) if each.name() == _NAME)
        before, walls_s = admin.cpu_times(), []
        for _ in range(_SCRAPES):
            # Sooner, the admin process would make it wait.
            time.sleep(_PAUSE_S)
            begun = time.perf_counter()
            text = _scrape(port)
            walls_s.append(time.perf_counter() - begun)
        after = admin.cpu_times()
    used_s = (after.user + after.system - before.user - before.system) / _SCRAPES
    goal, what = GOALS["exposition"], f"a scrape of {environment.scale.devices} devices"
    figure = f"{used_s * 1e3:.1f} ms"
    yield Outcome(what, figure, str(goal), goal.is_met(used_s * 1e3), {"walls_s": walls_s})
    lines, size = text.count(b"\n"), len(text) / MIB
    yield beside("until its last byte, ms", spread([each * 1e3 for each in walls_s]))
    yield beside("its size", f"{lines} lines, {size:.2f} MiB")


def memory(environment: Environment) -> Iterator[Outcome]:
    """PSS of all processes of a node, with an admin listener and scrapes and without."""
    grown: list[float] = []
    for number in range(max(1, environment.rounds // 2)):
        sizes = []
        for is_observed in (False, True):
            with ExitStack() as stack:
                if is_observed:
                    peer, port = stack.enter_context(_observed(environment, f"observed {number}"))
                else:
                    peer, port = stack.enter_context(_node(environment, f"unobserved {number}")), 0
                _work(peer, environment.scale.devices)
                for _ in range(10 if is_observed else 0):
                    _scrape(port)
                sizes.append(processes.memory(peer.pid).pss_bytes)
        grown.append((sizes[1] - sizes[0]) / MIB)
    what = f"memory of metrics of {environment.scale.devices} devices"
    yield judged(what, GOALS["memory"], grown, {"grown": grown})


def delayed(environment: Environment) -> Iterator[Outcome]:
    """The p99 of requests to four workers, with a scrape each second and without."""
    with _observed(environment, "scraped", *_WORKERS) as (peer, port):
        _work(peer, environment.scale.devices)
        work = _workload(environment)
        write_files(peer.docroot, work)
        peer.check(work)

        def scraped(seconds: float) -> Sample:
            with _scraping(port):
                return environment.wrk.run(peer, work, CONNECTIONS, seconds)

        samples = environment.take_turns(
            {"with": scraped, "without": environment.loading(peer, work, CONNECTIONS)}
        )
    ratios = by_round(samples["with"], samples["without"], p99_s)
    what = f"p99, 4 workers, {environment.scale.devices} devices scraped each second"
    yield judged(what, GOALS["p99"], ratios, samples, " of that without")
    for name, own in samples.items():
        yield beside(f"p99 {name}, ms", spread([p99_s(each) * 1e3 for each in own]))


def _workload(environment: Environment) -> Workload:
    count = environment.scale.devices
    return Workload("get-1k", "GET", KIB, 8_000_000, _FILES // count, devices=(1, count))


def _node(environment: Environment, name: str, *options: str) -> Peer:
    peer = environment.peers.node(name, *options, mgmt=True)
    for number in range(1, environment.scale.devices + 1):
        (peer.docroot / f"dev{number}").mkdir(exist_ok=True)
    return peer


@contextmanager
def _observed(environment: Environment, name: str, *options: str) -> Iterator[tuple[Peer, int]]:
    """Run a node with an admin listener; yield it and the port."""
    port = free_port()
    with _node(environment, name, "--adminlisten", f"127.0.0.1:{port}", *options) as peer:
        yield peer, port


def _work(peer: Peer, devices: int) -> None:
    """Send a PUT, a GET and a DELETE to each device.

    Raises: PeerFailed unless they succeed.
    """
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=_PATIENCE_S)
    for number in range(1, devices + 1):
        for method, body in (("PUT", b"content"), ("GET", None), ("DELETE", None)):
            connection.request(method, f"/dev{number}/scraped", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 300:
                raise PeerFailed(f"{method} on dev{number}: {answer.status}")
    connection.close()


def _scrape(port: int) -> bytes:
    """Return what a scraper gets. Raises: PeerFailed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise PeerFailed(f"/metrics: {answer.status}")
    return text


@contextmanager
def _scraping(port: int) -> Iterator[None]:
    """Scrape each second meanwhile, the first time at once."""
    stopping = threading.Event()

    def run() -> None:
        while True:
            _scrape(port)
            if stopping.wait(_EACH_S):
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
