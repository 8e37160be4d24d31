"""A real Prometheus scrapes a node with worker processes, and counts what was sent."""

from __future__ import annotations

import errno
import re
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.project._monitoring import RULES, alerts, dashboard_queries, listed_metrics
from tests.support.daemon import Node
from tests.support.http import GET_ROOT, Client, ask, compose
from tests.support.processes import is_gone, one_for_each_worker, pids_of, workers_of
from tests.support.prometheus import Prometheus
from tests.support.puts import put
from tests.support.required import needs
from tests.support.sidechannel import manage
from tests.support.slow_disk import node_with_slow_disk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [needs("prometheus"), pytest.mark.slow]

WORKERS = 4
CONTENT = b"x" * 1000
COUNTERS = [
    name + part
    for name, metric in listed_metrics().items()
    for part in {"counter": ("",), "histogram": ("_count", "_sum", "_bucket")}.get(metric.kind, ())
]
# They show what goes wrong, and nothing does. A disk may have no utilization here.
MAY_BE_EMPTY = re.compile(
    r"> 0$|mogstored_device_errors_total|deriv\(|mogstored_device_utilization_ratio"
)


class Traffic:
    """Sends requests and counts them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.answers: Counter[tuple[str, str]] = Counter()
        self.commands: Counter[tuple[str, ...]] = Counter()
        self.received = self.sent = 0

    def send(self) -> None:
        """Send requests of each kind to each worker process, and commands to one or another."""
        with ExitStack() as stack:

            def connect() -> Client:
                client = stack.enter_context(Client(self._node.http))
                self._ask(client, "GET", GET_ROOT)
                return client

            for number, client in enumerate(one_for_each_worker(self._node, connect).values()):
                target = f"/dev{1 + number % 2}/file{number}"
                sent = [
                    ("PUT", put(target, CONTENT)),
                    *[("GET", compose("GET", target))] * (3 + number),
                    ("HEAD", compose("HEAD", target)),
                    ("DELETE", compose("DELETE", target)),
                    ("GET", compose("GET", target)),
                ]
                for method, request in sent:
                    self._ask(client, method, request)
        with manage(self._node) as tracker:
            for _ in range(5):
                assert tracker.ask(b"size /dev1/usage").startswith(b"/dev1/usage ")
                self.commands["size",] += 1

    def _ask(self, client: Client, method: str, request: bytes) -> None:
        answer = client.request(request, head=method == "HEAD")
        self.received += len(request)
        self.answers[method, str(answer.status)] += 1
        self.sent += len(answer.raw_head) + len(answer.body)


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(mgmt=True, admin=True, extra=["--worker-processes", str(WORKERS)]) as node:
        yield node


@pytest.fixture
def prometheus(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    with Prometheus(folder, [node.admin], [RULES]) as prometheus:
        yield prometheus


def check_counts(prometheus: Prometheus, traffic: Traffic) -> None:
    """Compare what Prometheus has with what was sent."""
    prometheus.wait_for_scrape()
    assert prometheus.by("method", "code", of="mogstored_http_requests_total") == traffic.answers
    durations = prometheus.by("method", of="mogstored_http_request_duration_seconds_count")
    methods: Counter[tuple[str]] = Counter()
    for (method, _), count in traffic.answers.items():
        methods[method,] += count
    assert durations == methods
    assert prometheus.value("mogstored_http_sent_bytes_total") == traffic.sent
    assert prometheus.value("mogstored_http_received_bytes_total") == traffic.received
    commands = prometheus.by("command", of="mogstored_sidechannel_commands_total")
    assert commands == traffic.commands


def test_counts_are_those_of_the_requests_sent_also_when_a_worker_is_killed(
    node: Node, prometheus: Prometheus
) -> None:
    assert prometheus.value("mogstored_worker_processes") == WORKERS
    traffic = Traffic(node)
    traffic.send()
    check_counts(prometheus, traffic)

    before = pids_of(node)
    victim = workers_of(node)[0]
    victim.kill()
    wait_until(lambda: is_gone(victim.pid), "the worker is gone")
    wait_until(
        lambda: len(pids_of(node)) == WORKERS and pids_of(node) != before, "it was replaced"
    )
    check_counts(prometheus, traffic)
    wait_until(
        lambda: prometheus.value("mogstored_worker_processes") == WORKERS, "all workers are seen"
    )
    assert prometheus.value("mogstored_worker_restarts_total") == 1
    traffic.send()
    check_counts(prometheus, traffic)
    fallen = [name for name in COUNTERS if prometheus.query(f"resets({name}[10m]) > 0")]
    assert fallen == []
    assert prometheus.value("mogstored_worker_restarts_total") == 1


def test_rules_and_queries_of_the_dashboard_find_series(
    node: Node, prometheus: Prometheus
) -> None:
    traffic = Traffic(node)
    traffic.send()
    prometheus.wait_for_scrape()
    # A rate needs two samples.
    traffic.send()
    prometheus.wait_for_scrape()
    without = [
        query
        for query in dashboard_queries()
        if not prometheus.query(query) and not MAY_BE_EMPTY.search(query)
    ]
    assert without == []

    def evaluated() -> list[str]:
        groups = prometheus.ask("rules")["groups"]
        return [rule["health"] for group in groups for rule in group["rules"]]

    wait_until(lambda: "unknown" not in evaluated(), "all rules were evaluated")
    assert evaluated() == ["ok"] * len(alerts())
    assert prometheus.query("ALERTS") == []


def test_alerts_follow_a_disk_that_hangs_and_then_fails(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        node_with_slow_disk(
            tmp_path / "disk", mgmt=True, admin=True, extra=["--usage-interval", "1"]
        ) as (
            node,
            disk,
        ),
        Prometheus(folder, [node.admin], [RULES]) as prometheus,
    ):

        def alerts_are(*names: str) -> bool:
            # Most have to last for some minutes before they fire.
            found = prometheus.query("ALERTS")
            assert all(alert.labels["device"] == "dev2" for alert in found)
            return {alert.labels["alertname"] for alert in found} == set(names)

        assert alerts_are()
        disk.hang()
        wait_until(lambda: alerts_are("MogstoredDeviceHung"), "hangs")
        disk.release()
        wait_until(alerts_are, "is well again")
        disk.fail(errno.EIO)
        wait_until(lambda: alerts_are("MogstoredDeviceFailed"), "fails")
        assert ask(node.http, compose("GET", "/dev2/file")).status == 500
        wait_until(
            lambda: alerts_are("MogstoredDeviceFailed", "MogstoredDeviceErrors"), "has errors"
        )
        disk.release()
