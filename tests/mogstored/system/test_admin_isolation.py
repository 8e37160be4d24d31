"""The admin listener and the data ports do not feel each other's trouble."""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mogstored.devices.shares import most_in_each
from tests.support.backend import OVER_LIBKQUEUE
from tests.support.daemon import Node
from tests.support.http import Client, ask, compose
from tests.support.processes import one_client_each
from tests.support.puts import put
from tests.support.scrapes import Scrape, get, status, wait_until_ready
from tests.support.slow_disk import slow_disk
from tests.support.threads import join
from tests.support.waiting import promptly, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.daemon import Address

FOUR = ["--worker-processes=4"]
FORMS = pytest.mark.parametrize("extra", [[], FOUR], ids=["single", "workers"])
# A device's slots in each process.
SLOTS = 10
# A scrape waits for answers of the serving processes for 0.5 s at most.
AT_ONCE_S = 2.0
PATHS = ("/metrics", "/status.json", "/", "/-/healthy", "/-/ready")


@pytest.fixture
def node(extra: Sequence[str]) -> Iterator[Node]:
    with Node(mgmt=True, admin=True, extra=extra) as node:
        wait_until_ready(node.admin)
        yield node


@FORMS
def test_all_disks_hang(tmp_path: Path, extra: Sequence[str]) -> None:
    """All threads that all processes have for disks are blocked."""
    with (
        slow_disk(tmp_path / "disk1") as one,
        slow_disk(tmp_path / "disk2") as other,
        ExitStack() as stack,
    ):
        node = Node(devices=(), mgmt=True, admin=True, extra=extra)
        (node.docroot / "dev1").symlink_to(one.path)
        (node.docroot / "dev2").symlink_to(other.path)
        stack.enter_context(node)
        # First to be left: a node that waits for a disk can be neither stopped nor killed.
        for disk in (one, other):
            stack.callback(disk.release)
        wait_until_ready(node.admin)
        for number in (1, 2):
            node.write(f"/dev{number}/file", b"content")
        # Each process has more requests than slots: one may accept most of the connections.
        in_each = most_in_each(4) if extra else SLOTS
        rounds = [stack.enter_context(one_client_each(node)) for _ in range(2 * (in_each + 1))]
        one.hang()
        other.hang()
        for number, clients in enumerate(rounds):
            for client in clients:
                client.send(compose("GET", f"/dev{1 + number % 2}/file"))
        one.wait_until_held(SLOTS)
        other.wait_until_held(SLOTS)
        for path in PATHS:
            answer = promptly(partial(get, node.admin, path), AT_ONCE_S)
            assert answer.status == 200 or path == "/-/ready"
        wait_until(lambda: states(node) == ["hung", "hung"], "both are shown as hung")
        ready = get(node.admin, "/-/ready")
        assert (ready.status, ready.body) == (503, b"no usable device: 2 hung\n")
        assert get(node.admin, "/-/healthy").status == 200
        assert Scrape(node.admin).value("mogstored_device_state", device="dev2", state="hung") == 1
        in_flight = partial(value_of, node, "mogstored_device_requests_in_flight")
        wait_until(lambda: in_flight(device="dev2") >= SLOTS, "all workers have reported")
        one.release()
        other.release()
        wait_until_ready(node.admin)
        assert states(node) == ["ok", "ok"]


def value_of(node: Node, name: str, **labels: str) -> float:
    return Scrape(node.admin).value(name, **labels)


def states(node: Node) -> list[str]:
    return [each["state"] for each in status(node.admin)["devices"]]


@FORMS
def test_node_is_out_of_descriptors(extra: Sequence[str]) -> None:
    """The admin process has its own."""
    if OVER_LIBKQUEUE:
        pytest.skip("libkqueue needs descriptors to wait for a descriptor")
    limit = 40
    with (
        Node(mgmt=True, admin=True, nofile=limit, maxconns=500, extra=extra) as node,
        ExitStack() as stack,
    ):
        wait_until_ready(node.admin)
        for _ in range(3 * limit * (4 if extra else 1)):
            client = stack.enter_context(Client(node.http))
            client.send(b"G")
        node.wait_for_log("accept failed: .*EMFILE")
        for path in PATHS:
            assert get(node.admin, path).status == 200
        assert Scrape(node.admin).value("mogstored_connections", protocol="http") > 5


@FORMS
def test_crowds_on_the_admin_listener_do_not_reach_the_data(node: Node) -> None:
    """Thousands of connections: idle, half-sent, garbage; and scrapes without end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    crowd = min(2000, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, crowd + 200), hard))
    stopping = threading.Event()
    scrapers = [threading.Thread(target=scrape_on, args=(node.admin, stopping)) for _ in range(4)]
    before = node.process.num_fds()
    try:
        with ExitStack() as stack:
            for number in range(crowd):
                sock = stack.enter_context(connect(node.admin))
                sock.settimeout(0)
                # Some are refused already, and others wait in the backlog.
                with suppress(ConnectionError, BlockingIOError):
                    sock.send((b"", b"GET / HT", b"\x16\x03\x01", b"G" * 60_000)[number % 4])
            for thread in scrapers:
                thread.start()
            with Client(node.http) as client:
                for number in range(50):
                    assert client.request(put(f"/dev1/{number}", b"content")).status == 201
                    target = f"/dev1/{number}"
                    answer = promptly(partial(client.request, compose("GET", target)), AT_ONCE_S)
                    assert answer.body == b"content"
            # In the node's own processes nothing is held for them.
            assert node.process.num_fds() <= before + 10
    finally:
        stopping.set()
        for thread in scrapers:
            if thread.ident is not None:
                join(thread)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until(lambda: is_well(node.admin), "the admin process has recovered")


def connect(addr: Address) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(0)
    assert sock.connect_ex(addr) in (0, errno.EINPROGRESS)
    return sock


def scrape_on(addr: Address, stopping: threading.Event) -> None:
    while not stopping.is_set():
        # It may have to make room for others.
        with suppress(OSError, AssertionError), Client(addr) as client:
            client.request(compose("GET", "/metrics"))


def is_well(addr: Address) -> bool:
    try:
        return get(addr, "/-/ready").status == 200
    except OSError:
        return False


@FORMS
@pytest.mark.parametrize(
    "data",
    [
        os.urandom(100_000),
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000,
        b"GET /" + b"x" * 1_000_000,
        compose("POST", "/status.json", "Content-Length: 1000000") + b"x" * 1_000_000,
        compose("GET", "/../../etc/passwd"),
        compose("GET", "/page/page.css"),
        compose("GET", "//"),
    ],
    ids=["random", "fields", "target", "body", "parents", "file", "slashes"],
)
def test_bad_requests(node: Node, data: bytes) -> None:
    with Client(node.admin) as client:
        try:
            client.send(data)
            status_ = client.read_response().status
        except ConnectionError:
            # It was still sending when its time to linger was over.
            status_ = 400
        assert status_ in (400, 404, 405, 414, 431)
    assert get(node.admin, "/-/healthy").status == 200
    assert ask(node.http, compose("GET", "/dev1/none")).status == 404
