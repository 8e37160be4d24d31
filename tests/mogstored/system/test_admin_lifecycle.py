"""The admin process through the life of a node: deaths, stops, upgrades."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import Node
from tests.support.forms import ONE_WORKER, SINGLE
from tests.support.http import Client, compose
from tests.support.processes import clients_of_all, pids_of, workers_of
from tests.support.puts import put
from tests.support.scrapes import (
    NAME,
    Scrape,
    admin_process,
    get,
    status,
    wait_until_counted,
    wait_until_ready,
)
from tests.support.sockets import refuses
from tests.support.upgrades import Generations, free_address, generations
from tests.support.waiting import promptly, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.daemon import Address

FOUR = ["--worker-processes=4"]
FORMS = pytest.mark.parametrize("extra", [[], FOUR], ids=["single", "workers"])
PUTS = {"name": "mogstored_http_requests_total", "method": "PUT", "code": "201"}
MISSES = {"name": "mogstored_http_requests_total", "code": "404"}
# Longer than the admin process needs to see the end of its leader.
ENDS_S = 5.0


@pytest.fixture
def node(extra: Sequence[str]) -> Iterator[Node]:
    with Node(mgmt=True, admin=True, extra=extra) as node:
        wait_until_ready(node.admin)
        yield node


@pytest.mark.parametrize("extra", [FOUR])
def test_counters_survive_a_worker_that_is_killed(node: Node) -> None:
    with clients_of_all(node) as clients:
        for number, client in enumerate(clients.values()):
            assert client.request(put(f"/dev1/file{number}", b"content")).status == 201
    before = wait_until_counted(node.admin, 4, **PUTS)
    pids = pids_of(node)
    workers_of(node)[-1].kill()
    wait_until(lambda: len(pids_of(node)) == 4 and pids_of(node) != pids, "it is replaced")
    after = wait_until_counted(node.admin, 1, "mogstored_worker_restarts_total")
    fallen = {
        series: (value, after.samples.get(series))
        for series, value in before.counters().items()
        if after.samples.get(series, 0.0) < value
    }
    assert fallen == {}
    assert after.value(**PUTS) == 4
    with clients_of_all(node) as clients:
        for client in clients.values():
            assert client.request(compose("GET", "/dev1/file0")).status == 200
    shown = Scrape(node.admin)
    assert (shown.value(**PUTS), shown.value("mogstored_worker_processes")) == (4, 4)


@pytest.mark.parametrize("extra", [FOUR])
def test_counters_of_a_worker_that_stops_are_complete(node: Node) -> None:
    """Its last snapshot has what was counted since the last scrape."""
    with clients_of_all(node) as clients:
        for client in clients.values():
            assert client.request(compose("GET", "/dev1/none")).status == 404
    victim = workers_of(node)[0]
    victim.send_signal(signal.SIGQUIT)
    victim.wait()
    wait_until_counted(node.admin, 1, "mogstored_worker_restarts_total")
    wait_until_counted(node.admin, 4, **MISSES)


def wait_until_replaced(node: Node, victim: psutil.Process) -> None:
    wait_until(lambda: admin_process(node).pid != victim.pid, "it is replaced")


def wait_until_all_answer(node: Node) -> None:
    answers = [True] * max(1, len(workers_of(node)))
    wait_until(
        lambda: [each["answers"] for each in status(node.admin)["workers"]] == answers,
        "all answer",
    )


@FORMS
def test_it_is_replaced_when_it_dies(node: Node) -> None:
    """With the counters of all processes that serve, and while clients are served."""
    for attempt in range(3):
        victim = admin_process(node)
        with Client(node.http) as client:
            assert client.request(put(f"/dev1/file{attempt}", b"content")).status == 201
            victim.kill()
            assert client.request(compose("GET", f"/dev1/file{attempt}")).status == 200
        wait_until_replaced(node, victim)
        wait_until_ready(node.admin)
        wait_until_all_answer(node)
        wait_until_counted(node.admin, attempt + 1, **PUTS)
    assert len([line for line in node.stderr_lines() if "the admin process died" in line]) == 3


@pytest.mark.parametrize("extra", [FOUR])
def test_counters_of_dead_workers_survive_the_admin_process(node: Node) -> None:
    with clients_of_all(node) as clients:
        for client in clients.values():
            assert client.request(compose("GET", "/dev1/none")).status == 404
    wait_until_counted(node.admin, 4, **MISSES)
    for worker in workers_of(node):
        worker.kill()
    before = wait_until_counted(node.admin, 4, "mogstored_worker_restarts_total")
    assert before.value(**MISSES) == 4
    for _ in range(2):
        victim = admin_process(node)
        victim.kill()
        wait_until_replaced(node, victim)
        wait_until_ready(node.admin)
    after = Scrape(node.admin)
    fallen = {
        series: (value, after.samples.get(series))
        for series, value in before.counters().items()
        if after.samples.get(series, 0.0) < value
    }
    assert fallen == {}


@pytest.mark.parametrize("extra", [[]])
def test_end_of_both_the_launcher_and_the_admin_process_is_said(node: Node) -> None:
    victim = admin_process(node)
    for launcher in node.process.children():
        launcher.kill()
        launcher.wait()
    assert get(node.admin, "/-/ready").status == 200
    victim.kill()
    node.wait_for_log("no admin process: the launcher process has ended; restart the node")


@FORMS
def test_process_without_descriptors_is_observed_again(extra: Sequence[str]) -> None:
    """It cannot take the channel of a new admin process before it has some."""
    limit = 100
    with Node(admin=True, extra=extra, nofile=limit, maxconns=10_000) as node:
        wait_until_ready(node.admin)
        with contextlib.ExitStack() as stack:
            for _ in range(4 * limit):
                sock = stack.enter_context(socket.create_connection(node.http))
                # Not idle, so that it is not closed for others.
                sock.sendall(b"GET /dev1/none HTTP/1.1")
            wait_until(
                lambda: any(each.num_fds() >= limit for each in (node.process, *workers_of(node))),
                "descriptors ran out",
            )
            victim = admin_process(node)
            victim.kill()
            wait_until_replaced(node, victim)
            assert get(node.admin, "/status.json").status == 200
        wait_until_ready(node.admin)
        wait_until_all_answer(node)


@FORMS
def test_it_is_replaced_when_it_dies_in_the_middle_of_answers(node: Node) -> None:
    """The channel of a serving process may be full of half an answer."""
    for _ in range(3):
        victim = admin_process(node)
        victim.suspend()
        with Client(node.admin) as client:
            client.send(compose("GET", "/metrics"))
        victim.kill()
        wait_until_replaced(node, victim)
        wait_until_ready(node.admin)


@FORMS
def test_stopped_admin_process_delays_nothing(node: Node) -> None:
    """By SIGSTOP, as a debugger does: neither requests, nor the end of the node."""
    admin = admin_process(node)
    admin.suspend()
    try:
        with Client(node.http) as client:
            assert client.request(compose("GET", "/dev1/none")).status == 404
        promptly(lambda: node.process.status(), ENDS_S)
        node.send_signal(signal.SIGTERM)
        assert node.process.wait() == 0
    finally:
        admin.resume()


@FORMS
def test_it_answers_while_the_node_drains(node: Node) -> None:
    with Client(node.http) as client:
        client.send(put("/dev1/slow", b"content")[:-3])
        wait_until(
            lambda: Scrape(node.admin).value("mogstored_connections", state="active") >= 1,
            "the upload has begun",
        )
        node.begin_stop()
        wait_until(lambda: get(node.admin, "/-/ready").status == 503, "the node is not ready")
        assert get(node.admin, "/-/ready").body == b"draining\n"
        assert get(node.admin, "/-/healthy").status == 200
        assert status(node.admin)["node"]["state"] == "draining"
        client.send(b"ent")
        assert client.read_response().status == 201
    assert node.wait() == 0
    wait_until(lambda: refuses(node.admin), "it ends with the node")


@FORMS
def test_it_ends_when_the_node_is_killed(extra: Sequence[str]) -> None:
    with Node(admin=True, extra=extra, checked=False) as node:
        admin, addr = admin_process(node), node.admin
        node.process.kill()
        psutil.wait_procs([admin], timeout=ENDS_S)
        wait_until(lambda: refuses(addr), "nothing listens any more")


@pytest.fixture(params=[SINGLE, ONE_WORKER], ids=["single", "workers"])
def old(request: pytest.FixtureRequest) -> Iterator[tuple[Generations, Address]]:
    """A node that can be upgraded, and its admin address."""
    admin = free_address()
    extra = ["--adminlisten", f"{admin[0]}:{admin[1]}", *request.param]
    with generations(extra=extra) as found:
        wait_until_ready(admin)
        yield found, admin


def test_upgraded_node_has_one_of_its_own(old: tuple[Generations, Address]) -> None:
    node, admin = old
    with Client(admin) as kept:
        assert kept.request(compose("GET", "/-/healthy")).keeps
        new = node.upgrade()
        pids = {asked(admin) for _ in range(4)}
        assert pids <= {node.node.pid, new}
        node.retire(new)
        # Its process has ended, and with it the connection.
        assert kept.read_to_eof() == b""
    for _ in range(10):
        assert asked(admin) == new
    assert status(admin)["node"]["upgrades"] == 1
    assert Scrape(admin).value("mogstored_upgrades_total") == 1


def asked(addr: Address) -> int:
    return int(status(addr)["node"]["pid"])


def test_scrapes_reach_the_new_node_as_soon_as_the_old_one_stops(
    old: tuple[Generations, Address],
) -> None:
    """Though it drains for long."""
    node, admin = old
    with Client(node.addr) as client:
        client.send(put("/dev1/slow", b"content")[:-3])
        new = node.upgrade()
        node.send(signal.SIGQUIT, node.node.pid)
        node.node.wait_for_log("stopping")
        wait_until(lambda: {asked(admin) for _ in range(5)} == {new}, "the new one answers all")
        client.send(b"ent")
        client.read_response()
    node.current = new


def test_upgrade_that_is_taken_back_leaves_the_old_one(old: tuple[Generations, Address]) -> None:
    node, admin = old
    new = node.upgrade()
    node.send(signal.SIGQUIT, new)
    node.node.wait_for_log(f"upgrade ended: process {new}")
    wait_until(
        lambda: {asked(admin) for _ in range(5)} == {node.node.pid}, "the old one answers all"
    )


@FORMS
def test_process_has_a_name_and_a_title(node: Node) -> None:
    admin = admin_process(node)
    assert admin.name() == NAME
    wait_until(lambda: "mogstored: admin: " in " ".join(admin.cmdline()), "it has a title")
