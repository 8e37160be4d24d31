"""A stop that has a time-out ends by then, whatever clients and disks do."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from signal import SIGTERM
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.processes import clients_of_all
from tests.support.puts import put, traces
from tests.support.slow_disk import node_with_slow_disk
from tests.support.sockets import refuses
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

SLOTS = 10
CONTENT = b"content"
TIMEOUT = ("--stop-timeout", "1")
WORKERS = ("--worker-processes", "2")
FORMS = pytest.mark.parametrize("extra", [(), WORKERS], ids=["single", "workers"])


@FORMS
def test_nothing_is_given_up_when_all_ends_in_time(extra: tuple[str, ...]) -> None:
    with Node(mgmt=True, extra=["--stop-timeout", "60", *extra]) as node:
        node.write("/dev1/file", CONTENT)
        with Client(node.http) as client:
            client.send(b"GET /dev1/fi")
            with Client(node.http) as other:
                assert other.request(compose("GET", "/")).status == 200
            node.send_signal(SIGTERM)
            wait_until(partial(refuses, node.http), "connecting is refused")
            assert client.request(b"le HTTP/1.1\r\n\r\n").body == CONTENT
            client.read_eof()
        assert node.wait() == 0
        assert not any("gave up" in line for line in node.stderr_lines())


@FORMS
def test_client_that_does_not_go_on_is_given_up(extra: tuple[str, ...]) -> None:
    with Node(mgmt=True, extra=[*TIMEOUT, *extra]) as node:
        with Client(node.http) as client:
            client.send(put("/dev1/new", CONTENT)[:-1])
            wait_until(lambda: traces(node, "/dev1/new"), "the upload has begun")
            node.send_signal(SIGTERM)
            node.wait_for_log("gave up 1 requests that have not .* within 1 s .*: 1 for their")
            client.read_to_eof()
        assert node.wait() == 0
        assert not traces(node, "/dev1/new")


def test_disk_that_hangs_is_given_up(tmp_path: Path) -> None:
    """What the system still shows of the process is threads that it cannot end."""
    pidfile = tmp_path / "pid"
    extra = [*TIMEOUT, "--pidfile", str(pidfile)]
    with (
        node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=extra) as (node, disk),
        ExitStack() as stack,
    ):
        node.write("/dev2/file", CONTENT)
        # A file that is kept open, whose closing hangs.
        kept = stack.enter_context(Client(node.http))
        assert kept.request(compose("GET", "/dev2/file")).body == CONTENT
        disk.hang()
        clients = [stack.enter_context(Client(node.http, 30.0)) for _ in range(2 * SLOTS)]
        for number, client in enumerate(clients):
            # Two look-ups of one name are one to the disk.
            client.send(compose("GET", f"/dev2/none{number}"))
        disk.wait_until_held(SLOTS)
        began = time.monotonic()
        node.send_signal(SIGTERM)
        node.wait_for_log(r"gave up 20 requests .*: dev2 \(10 at it, 10 waiting\)$")
        wait_until(lambda: not pidfile.exists(), "the node has let go of everything")
        assert time.monotonic() - began < 5.0
        # Those who only waited are sent away; the others are beyond reach.
        assert sum(_is_at_end(client) for client in clients) == SLOTS
        disk.release()
        assert node.wait() == 0


def _is_at_end(client: Client) -> bool:
    client.sock.setblocking(False)
    try:
        return client.sock.recv(1) == b""
    except BlockingIOError:
        return False


def test_master_leaves_workers_behind_that_cannot_end(tmp_path: Path) -> None:
    extra = [*TIMEOUT, *WORKERS]
    with (
        node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=extra) as (node, disk),
        clients_of_all(node) as clients,
    ):
        workers = node.process.children()
        disk.hang()
        for client in clients.values():
            client.send(compose("GET", "/dev2/none"))
        disk.wait_until_held(len(workers))
        node.send_signal(SIGTERM)
        # While the disk still hangs.
        assert node.wait() == 0
        for number, worker in enumerate(workers):
            node.wait_for_log(
                rf"\[{worker.pid}\]: gave up 1 requests .*: dev2 \(1 at it, 0 waiting\)"
            )
            node.wait_for_log(rf"worker\[{number}\] PID:{worker.pid} does not end")
        disk.release()
        assert psutil.wait_procs(workers, timeout=10.0)[1] == []
