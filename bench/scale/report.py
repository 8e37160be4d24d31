"""One node under the monitors of 1 to 10 trackers, its metrics, and upgrades under watch.

Lines that begin with `arithmetic` are computed from those above them (`bench.scale.arithmetic`).
"""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.base.figures import percentile, spread
from bench.base.outcome import Outcome, beside
from bench.environment import Environment
from bench.life.upgrade import begin
from bench.load.child import Child
from bench.scale import arithmetic, monitor
from bench.scale.arithmetic import DEVICES, NODES, Metrics
from bench.servers.peers import Peer, PeerFailed, free_port, wait_for

_TRACKERS = (1, 3, 10)
_UPGRADES_UNDER = 3
_TOGETHER = 0.05
_FILES, _COPIES = 100e6, 2
_HEADS = 2000
_PATIENCE_S = 30.0


def watched(environment: Environment) -> Iterator[Outcome]:
    """The node's processor time and answers under the monitors of some trackers."""
    answer_s = bytes_per_line = 0.0
    with _node(environment, "watched") as peer:
        wait_for(lambda: _has_usage(peer), "all devices have a usage file")
        idle = _cpu_share(peer, environment.seconds)
        yield beside("processor of the node, no tracker", f"{idle:.2%}")
        for trackers in _TRACKERS:
            with Child(monitor.__name__, peer.port, peer.mgmt, DEVICES, trackers) as child:
                time.sleep(monitor.ROUND_S)
                child.ask("report")
                share = _cpu_share(peer, environment.seconds)
                found = child.ask("report")
            per_s = found["requests"] / environment.seconds
            yield Outcome(
                f"{trackers} tracker{'s' * (trackers > 1)} watching {DEVICES} devices",
                f"{share - idle:.2%} of a processor",
                "0 failures",
                not found["failed"],
                {"report": found, "share": share, "idle": idle},
            )
            yield beside("requests", _requests(found, per_s))
            lines = found["watched_lines"] / environment.seconds
            yield beside("sidechannel", f"{lines:.0f} lines/s to {trackers} watchers")
            bytes_per_line = found["watched_bytes"] / max(1, found["watched_lines"])
        answer_s, cpu_us = _heads(peer)
    yield beside("a HEAD, p50 and processor time", f"{answer_s * 1e3:.2f} ms, {cpu_us:.0f} us")
    yield from _computed("one tracker", lambda n: arithmetic.monitor_line(n, answer_s))
    yield from _computed(
        "its watch connections", lambda n: arithmetic.watch_line(n, bytes_per_line)
    )
    yield from _computed(
        f"fsck of {_FILES / 1e6:,.0f} million files, {_COPIES} copies",
        lambda n: arithmetic.fsck_line(n, _FILES, _COPIES, cpu_us),
    )


def scraped(environment: Environment) -> Iterator[Outcome]:
    """Series and bytes of a scrape, for two numbers of devices."""
    found = []
    for devices in (DEVICES // 6, DEVICES):
        admin = free_port()
        with _node(environment, f"scraped {devices}", admin, devices=devices) as peer:
            _use(peer, devices)
            text = _fetch(admin, "/metrics")
        series = sum(not line.startswith(b"#") for line in text.splitlines())
        found.append((devices, series))
        size = f"{series} series, {len(text) / 1024:.0f} KiB"
        yield Outcome(f"a scrape of {devices} devices", size, samples={"series": series})
    metrics = Metrics.from_two(*found)
    figure = f"{metrics.base:.0f} series, and {metrics.each_device:.1f} for each device"
    yield beside("so a node has", figure)
    yield from _computed("Prometheus, 15 s", lambda n: arithmetic.metrics_line(n, metrics))


def upgraded(environment: Environment) -> Iterator[Outcome]:
    """Upgrades while trackers watch: failures that they see, and what each upgrade takes."""
    took_s = []
    with (
        _node(environment, "upgraded") as peer,
        Child(monitor.__name__, peer.port, peer.mgmt, DEVICES, _UPGRADES_UNDER) as child,
    ):
        wait_for(lambda: _has_usage(peer), "all devices have a usage file")
        time.sleep(monitor.ROUND_S)
        child.ask("report")
        for _ in range(environment.rounds):
            begun = time.monotonic()
            successor = begin(peer)
            os.kill(peer.pid, signal.SIGQUIT)
            wait_for(lambda: peer.has_ended(peer.pid), "the old process has ended")
            took_s.append(time.monotonic() - begun)
            peer.pid = successor
            time.sleep(monitor.ROUND_S)
        found = child.ask("report")
    yield Outcome(
        f"{environment.rounds} upgrades while {_UPGRADES_UNDER} trackers watch",
        f"{found['failed']} failures of {found['requests']}",
        "0 failures",
        not found["failed"],
        {"report": found, "took_s": took_s},
    )
    yield beside("sent once more on a new connection", str(found["repeated"]))
    yield beside("longest answer", f"{found['longest_s'] * 1e3:.0f} ms")
    yield beside("USR2 until the old process has ended", spread(took_s, " s"))
    # A monitor has to see the node once more before the next one goes.
    one_s = max(took_s) + monitor.ROUND_S
    yield from _computed(
        "a rolling upgrade", lambda n: arithmetic.upgrade_line(n, one_s, _TOGETHER)
    )


def _requests(found: dict[str, Any], per_s: float) -> str:
    longest = found["longest_s"] * 1e3
    late = f", rounds up to {found['late_s']:.1f} s late" if found["late_s"] > 0 else ""
    failures = f", {found['failures']}" if found["failures"] else ""
    return f"{per_s:.0f}/s, longest {longest:.0f} ms{late}{failures}"


def _computed(what: str, line: Callable[[int], str]) -> Iterator[Outcome]:
    for nodes in NODES:
        yield beside(f"arithmetic, {nodes:,} nodes: {what}", line(nodes))


def _node(environment: Environment, name: str, admin: int = 0, devices: int = DEVICES) -> Peer:
    extra = ("--adminlisten", f"127.0.0.1:{admin}") if admin else ()
    peer = environment.peers.node(name, *extra, mgmt=True)
    for number in range(1, devices + 1):
        (peer.docroot / f"dev{number}").mkdir(exist_ok=True)
    return peer


def _has_usage(peer: Peer) -> bool:
    return all((peer.docroot / f"dev{n}" / "usage").exists() for n in range(1, DEVICES + 1))


def _cpu_share(peer: Peer, seconds: float) -> float:
    """Return the share of one processor that the node uses in so many seconds."""
    used, begun = peer.cpu_s(), time.monotonic()
    time.sleep(seconds)
    return (peer.cpu_s() - used) / (time.monotonic() - begun)


def _heads(peer: Peer) -> tuple[float, float]:
    """Return the median time of a HEAD in seconds, and its processor time in microseconds."""
    (peer.docroot / "dev1" / "fsck").write_bytes(b"content")
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=_PATIENCE_S)
    times, used = [], peer.cpu_s()
    for _ in range(_HEADS):
        begun = time.perf_counter()
        connection.request("HEAD", "/dev1/fsck")
        connection.getresponse().read()
        times.append(time.perf_counter() - begun)
    connection.close()
    return percentile(times, 0.5), (peer.cpu_s() - used) * 1e6 / _HEADS


def _use(peer: Peer, devices: int) -> None:
    """Send a PUT, a GET and a DELETE to each device, so that all its series are there."""
    for number in range(1, devices + 1):
        path = f"/dev{number}/used"
        statuses = [peer.request(*each)[0] for each in (("PUT", path, b"x"), ("GET", path))]
        statuses.append(peer.request("DELETE", path)[0])
        if statuses != [201, 200, 204]:
            raise PeerFailed(f"{path}: {statuses}")


def _fetch(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise PeerFailed(f"{path}: {answer.status}")
    return text
