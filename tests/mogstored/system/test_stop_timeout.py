"""A stop with a time-out ends by then, whatever clients and disks do."""

from __future__ import annotations

from contextlib import ExitStack
from signal import SIGTERM
from typing import TYPE_CHECKING

from tests.support.daemon import Node
from tests.support.forms import FORMS, WORKERS
from tests.support.http import Client, compose
from tests.support.processes import clients_of_all, wait_for_the_end_of, workers_of
from tests.support.puts import put, traces, wait_until_begun
from tests.support.slow_disk import node_with_slow_disk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

SLOTS = 10
CONTENT = b"content"
TIMEOUT = ("--stop-timeout", "1")


@FORMS
def test_nothing_is_given_up_when_all_ends_in_time(extra: tuple[str, ...]) -> None:
    with Node(mgmt=True, extra=["--stop-timeout", "60", *extra]) as node:
        node.write("/dev1/file", CONTENT)
        with Client(node.http) as client:
            client.send(b"GET /dev1/fi")
            with Client(node.http) as other:
                assert other.request(compose("GET", "/")).status == 200
            node.begin_stop(SIGTERM)
            assert client.request(b"le HTTP/1.1\r\n\r\n").body == CONTENT
            client.read_eof()
        assert node.wait() == 0
        assert not any("gave up" in line for line in node.stderr_lines())


@FORMS
def test_longest_time_out(extra: tuple[str, ...]) -> None:
    """poll takes 24.8 days at most."""
    with Node(extra=["--stop-timeout", str(30 * 86400), *extra]) as node:
        with Client(node.http) as client:
            client.send(put("/dev1/new", CONTENT)[:-1])
            wait_until_begun(node, "/dev1/new")
            node.begin_stop(SIGTERM)
            client.send(CONTENT[-1:])
            assert client.read_response().status == 201
        assert node.wait() == 0


@FORMS
def test_client_that_does_not_go_on_is_given_up(extra: tuple[str, ...]) -> None:
    with Node(mgmt=True, extra=[*TIMEOUT, *extra]) as node:
        with Client(node.http) as client:
            client.send(put("/dev1/new", CONTENT)[:-1])
            wait_until_begun(node, "/dev1/new")
            node.send_signal(SIGTERM)
            node.wait_for_log(
                "gave up 1 requests that have not .* within 1 s .*: 1 waiting for clients"
            )
            client.read_to_eof()
        assert node.wait() == 0
        assert not traces(node, "/dev1/new")


def test_disk_that_hangs_is_given_up(tmp_path: Path) -> None:
    """The process is left with threads that the system cannot end."""
    pidfile = tmp_path / "pid"
    extra = [*TIMEOUT, "--pidfile", str(pidfile)]
    with (
        node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=extra) as (node, disk),
        ExitStack() as stack,
    ):
        disk.hang()
        clients = [stack.enter_context(Client(node.http)) for _ in range(2 * SLOTS)]
        for number, client in enumerate(clients):
            # The disk sees two look-ups of one name as one.
            client.send(compose("GET", f"/dev2/none{number}"))
        disk.wait_until_held(SLOTS)
        node.send_signal(SIGTERM)
        given_up = r"gave up 20 requests .* within 1 s .*: \S+/dev2 \(10 running, 10 waiting\)$"
        node.wait_for_log(given_up)
        wait_until(lambda: not pidfile.exists(), "the node has let go of everything")
        # Clients that only waited are closed; the others are beyond reach.
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
        workers = workers_of(node)
        disk.hang()
        for client in clients.values():
            client.send(compose("GET", "/dev2/none"))
        disk.wait_until_held(len(workers))
        node.send_signal(SIGTERM)
        # While the disk still hangs.
        assert node.wait() == 0
        for number, worker in enumerate(workers):
            node.wait_for_log(
                rf"\[{worker.pid}\]: gave up 1 requests .*: \S+/dev2 \(1 running, 0 waiting\)"
            )
            node.wait_for_log(rf"worker\[{number}\] PID:{worker.pid} has not ended in time")
        disk.release()
        wait_for_the_end_of(workers)


def test_worker_that_does_not_listen_to_its_master_is_killed() -> None:
    shorter = "import mogstored.process.master as master; master._KILL_DELAY_S = 0.1"
    with Node(extra=[*TIMEOUT, *WORKERS], injected=shorter, checked=False) as node:
        workers = workers_of(node)
        workers[0].suspend()
        node.send_signal(SIGTERM)
        node.wait_for_log(
            rf"PID:{workers[0].pid} has not ended in time: sent SIGKILL, not waiting for it"
        )
        assert node.wait() == 0
        wait_for_the_end_of(workers)
