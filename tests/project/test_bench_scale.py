"""The scenario `scale`: its trackers ask what trackers ask, and its arithmetic is right."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from bench.scale import arithmetic
from bench.scale.arithmetic import Metrics
from bench.scale.monitor import Monitor
from tests.project._tree import ROOT
from tests.support.daemon import Node

DOCUMENT = (ROOT / "docs" / "scale.md").read_text()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: keep-alive\r\n\r\nused: "
FIRST = (
    b"GET /dev1/usage HTTP/1.0\r\nKeep-Alive: 300\r\nConnection: Keep-Alive, keep-alive\r\n"
    b"Host: 127.0.0.1:%d\r\nUser-Agent: MogileFS::Connection::HTTP/2.73\r\n\r\n"
)
LATER = (
    b"GET /dev1/usage HTTP/1.0\r\nConnection: keep-alive\r\n"
    b"Host: 127.0.0.1:%d\r\nUser-Agent: MogileFS::Connection::HTTP/2.73\r\n\r\n"
)


class Server:
    """Answers each connection as often as is planned, then closes it; keeps what was asked."""

    def __init__(self, *plan: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, args=(plan,))
        self._thread.start()

    def _serve(self, plan: tuple[int, ...]) -> None:
        for answers in plan:
            client, _ = self._listener.accept()
            with client:
                for _ in range(answers):
                    self.asked.append(client.recv(65536))
                    client.sendall(ANSWER)

    def join(self) -> None:
        self._thread.join()
        self._listener.close()


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(mgmt=True) as node:
        yield node


def test_requests_are_those_of_the_trackers_client() -> None:
    server = Server(2)
    with closing(Monitor(server.port, 1)) as monitor:
        monitor.round(False)
        monitor.round(False)
    server.join()
    assert server.asked == [FIRST % server.port, LATER % server.port]
    assert monitor.failures == []


def test_request_is_sent_once_more_when_a_kept_connection_has_ended() -> None:
    server = Server(1, 1)
    with closing(Monitor(server.port, 1)) as monitor:
        monitor.round(False)
        monitor.round(False)
    server.join()
    report = monitor.take()
    assert (report.requests, report.repeated, report.failed) == (2, 1, 0)


def test_connection_that_never_served_is_a_failure() -> None:
    server = Server(0)
    with closing(Monitor(server.port, 1)) as monitor:
        monitor.round(False)
    server.join()
    report = monitor.take()
    assert (report.repeated, report.failed) == (0, 2)
    assert "GET /dev1/usage" in monitor.failures[0]


def test_node_passes_rounds_and_write_tests(node: Node) -> None:
    with closing(Monitor(node.http[1], 2)) as monitor:
        monitor.round(True)
        monitor.round(True)
    assert monitor.failures == []
    # Two looks, one MKCOL, two PUTs and GETs of marks, and a bad MD5 for each device once.
    assert monitor.take().requests == (2 + 1 + 2 * 2 + 2) + (2 + 2 * 2)
    assert node.path("/dev2/test-write").is_dir()
    assert not node.path("/dev1/test-write/test-md5").exists()


def test_device_that_is_missing_is_a_failure(node: Node) -> None:
    with closing(Monitor(node.http[1], 3)) as monitor:
        monitor.round(False)
    assert any("dev3" in failure for failure in monitor.failures)


def test_series_of_two_nodes_make_those_of_any() -> None:
    metrics = Metrics.from_two((4, 328), (24, 1388))
    assert (metrics.base, metrics.each_device) == (116, 53)
    assert metrics.of_node(10) == 646


def cells(begin: str) -> list[str]:
    """Return the figures of a row of docs/scale.md."""
    (row,) = [line for line in DOCUMENT.splitlines() if line.startswith(f"| {begin}")]
    return [cell.strip() for cell in row.strip("|").split("|")[1:]]


def test_tables_of_the_document_are_what_the_arithmetic_says() -> None:
    metrics = Metrics.from_two((4, 328), (24, 1388))
    for number, nodes in enumerate(arithmetic.NODES):
        monitor = arithmetic.monitor_line(nodes, 0.00028)
        assert f"{cells('devices |')[number]} devices: " in monitor
        assert f" {cells('requests a second of one')[number]} requests/s" in monitor
        watch = arithmetic.watch_line(nodes, 1)
        assert f"{cells('its connections')[number]} connections" in watch
        assert f" {cells('lines a second on them')[number]} lines/s" in watch
        prometheus = arithmetic.metrics_line(nodes, metrics)
        assert f"{cells('series')[number]} series" in prometheus
        assert f" {cells('samples')[number]} samples/s" in prometheus
        assert float(prometheus.split()[-4]) == float(cells("GB a day")[number])
        fsck = arithmetic.fsck_line(nodes, 100e6, 2, 105)
        assert f"{cells('HEADs a node')[number]} HEADs" in fsck
        rolling = arithmetic.upgrade_line(nodes, 6.7, 0.05)
        assert rolling.startswith(f"{cells('one by one')[number]} one by one")
        assert f" {cells('5 % at once')[number]} in 20 groups" in rolling


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            arithmetic.monitor_line(400, 0.002),
            "9,600 devices: 5,120 requests/s, 10.2 connections busy",
        ),
        (
            arithmetic.watch_line(40, 5.0),
            "40 connections, 1,000 lines/s, 0.01 MB/s",
        ),
        (
            arithmetic.metrics_line(4000, Metrics(116, 53)),
            "5,552,000 series, 370,133 samples/s, 48.0 GB a day",
        ),
        (
            arithmetic.fsck_line(40, 100e6, 2, 120.0),
            "5,000,000 HEADs a node, 10.0 min of a processor",
        ),
        (arithmetic.upgrade_line(4000, 9.0, 0.05), "10.0 h one by one, 3 min in 20 groups"),
        (arithmetic.upgrade_line(4, 9.0, 0.05), "36 s one by one, 36 s in 4 groups"),
    ],
)
def test_line_is_multiplication(line: str, wanted: str) -> None:
    assert line == wanted
