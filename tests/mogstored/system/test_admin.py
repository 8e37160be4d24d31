"""The admin listener of a running node: what it shows, whatever the node is made of."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING

import psutil
import pytest

import mogstored
from tests.support.daemon import Node
from tests.support.http import Client, ask, compose
from tests.support.processes import clients_of_all, pids_of, workers_of
from tests.support.program import run
from tests.support.puts import put
from tests.support.scrapes import (
    Scrape,
    admin_process,
    get,
    is_admin,
    status,
    wait_until_counted,
    wait_until_ready,
)
from tests.support.sidechannel import manage
from tests.support.sockets import refuses
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.daemon import Address

FOUR = ["--worker-processes=4"]
FORMS = pytest.mark.parametrize("extra", [[], FOUR], ids=["single", "workers"])


@pytest.fixture(scope="module", params=[[], FOUR], ids=["single", "workers"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with Node(mgmt=True, admin=True, extra=request.param) as node:
        wait_until_ready(node.admin)
        yield node


@pytest.fixture
def fresh(extra: Sequence[str]) -> Iterator[Node]:
    with Node(mgmt=True, admin=True, extra=extra) as node:
        wait_until_ready(node.admin)
        yield node


def do_some_work(node: Node) -> None:
    """Send each worker a PUT and two GETs, and the sidechannel a command."""
    if workers_of(node):
        with clients_of_all(node) as clients:
            for number, client in enumerate(clients.values()):
                work_with(client, number)
    else:
        with Client(node.http) as client:
            work_with(client, 0)
    with manage(node) as tracker:
        tracker.ask(b"size /dev1/file0")


def work_with(client: Client, number: int) -> None:
    assert client.request(put(f"/dev1/file{number}", b"content")).status == 201
    assert client.request(compose("GET", f"/dev1/file{number}")).status == 200
    assert client.request(compose("GET", f"/dev2/none{number}")).status == 404


def test_health(node: Node) -> None:
    for path in ("/-/healthy", "/-/ready"):
        answer = get(node.admin, path)
        assert (answer.status, answer.body) == (200, b"ok\n")


def test_scrape_shows_the_request_before_it(node: Node) -> None:
    """Whichever process has answered it."""
    requests = {"name": "mogstored_http_requests_total", "method": "GET", "code": "404"}
    before = Scrape(node.admin).value(**requests)
    for number in range(1, 9):
        assert ask(node.http, compose("GET", "/dev1/none")).status == 404
        wait_until_counted(node.admin, before + number, **requests)


def test_work_of_all_processes_is_counted(node: Node) -> None:
    count = max(1, len(workers_of(node)))
    before = Scrape(node.admin)
    do_some_work(node)
    # What each process and the sidechannel have done last.
    misses = {"name": "mogstored_http_requests_total", "method": "GET", "code": "404"}
    wait_until_counted(node.admin, before.value(**misses) + count, **misses)
    sizes = {"name": "mogstored_sidechannel_commands_total", "command": "size"}
    after = wait_until_counted(node.admin, before.value(**sizes) + 1, **sizes)

    def more(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert more("mogstored_http_requests_total", method="PUT", code="201") == count
    assert more("mogstored_http_request_duration_seconds_count", method="PUT") == count
    assert more("mogstored_http_received_bytes_total") > 7 * count
    assert more("mogstored_http_sent_bytes_total") > 7 * count
    assert more("mogstored_device_operation_seconds_count", device="dev1", operation="write") > 0


def test_node_is_described(node: Node) -> None:
    shown = status(node.admin)
    workers = pids_of(node)
    assert shown["schema"] == 1
    about = shown["node"]
    assert about["hostname"] == socket.gethostname()
    assert about["version"] == mogstored.__version__
    assert about["pid"] == node.pid
    assert about["state"] == "serving"
    assert (about["ready"], about["not_ready_reasons"]) == (True, [])
    assert about["worker_processes"] == len(workers)
    assert about["open_files"] > 10
    assert about["resident_bytes"] > 10**6
    assert {each["pid"] for each in shown["workers"]} == workers or {node.pid}
    assert all(each["answers"] and each["state"] == "serving" for each in shown["workers"])
    assert [each["kind"] for each in shown["listeners"]] == ["http", "mgmt", "admin"]
    assert shown["listeners"][0]["docroot"] == str(node.docroot)
    assert [each["device"] for each in shown["devices"]] == ["dev1", "dev2"]


def test_processes_are_measured(node: Node) -> None:
    scrape = Scrape(node.admin)
    family = [node.process, *node.process.children(recursive=True)]
    assert (
        scrape.value("process_start_time_seconds") <= psutil.Process(node.pid).create_time() + 60
    )
    assert scrape.value("process_open_fds") > 5 * len(workers_of(node))
    assert scrape.value("process_max_fds") >= len(family) - 1
    assert scrape.value("process_cpu_seconds_total") > 0
    assert scrape.value("mogstored_worker_processes") == max(1, len(workers_of(node)))
    assert scrape.value("mogstored_ready") == 1


def test_every_counter_and_histogram_is_declared_as_one(node: Node) -> None:
    types = Scrape(node.admin).types
    assert types["mogstored_http_requests"] == "counter"
    assert types["mogstored_device_wait_seconds"] == "histogram"
    assert types["mogstored_device_state"] == "gauge"
    assert "unknown" not in types.values()


@FORMS
def test_it_is_not_there_by_default(extra: Sequence[str]) -> None:
    with Node(extra=extra) as node:
        assert not any(map(is_admin, node.process.children(recursive=True)))


@FORMS
def test_devices_of_a_node_without_a_sidechannel(extra: Sequence[str]) -> None:
    with Node(admin=True, extra=extra) as node:
        (first, _) = json.loads(get(node.admin, "/status.json").body)["devices"]
    assert first["state"] == "ok"
    assert first["size_bytes"] > first["available_bytes"] > 0


@FORMS
def test_several_listeners_and_ipv6(extra: Sequence[str]) -> None:
    more = ["--adminlisten", "[::1]:0,127.0.0.1:0", *extra]
    with Node(admin=True, extra=more) as node:
        logged = [line for line in node.stderr_lines() if "listening for admin on [::1]:" in line]
        port = int(logged[0].rpartition(":")[2])
        for addr in (*node.addresses("admin"), ("::1", port)):
            assert get(addr, "/-/healthy").status == 200
        assert len(node.addresses("admin")) == 2


@FORMS
def test_inherited_socket(extra: Sequence[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        addr: Address = listener.getsockname()
        with Node(
            extra=["--adminlisten", f"127.0.0.1:{addr[1]}", *extra],
            env={"CMOGSTORED_FD": str(listener.fileno())},
            pass_fds=[listener.fileno()],
        ) as node:
            listener.close()
            node.wait_for_log(rf"inherited 127.0.0.1:{addr[1]} on descriptor")
            assert get(addr, "/-/healthy").status == 200


@FORMS
def test_it_holds_nothing_of_the_node_but_its_own(fresh: Node) -> None:
    """No file of a disk, and no socket of clients: they would not see its close."""
    admin = admin_process(fresh)
    docroot = str(fresh.docroot)
    links = [os.readlink(f"/proc/{admin.pid}/fd/{fd}") for fd in fds_of(admin)]
    assert not [link for link in links if link.startswith(docroot)]
    local = {connection.laddr[1] for connection in admin.net_connections("tcp")}
    assert local <= {fresh.admin[1]}
    assert admin.num_threads() == 1


@pytest.mark.parametrize("extra", [FOUR])
def test_workers_do_not_hold_its_address(fresh: Node) -> None:
    """One that a disk holds for ever would keep it from the next node."""
    for worker in workers_of(fresh):
        ports = {connection.laddr[1] for connection in worker.net_connections("tcp")}
        assert fresh.http[1] in ports
        assert fresh.admin[1] not in ports


def fds_of(process: psutil.Process) -> list[str]:
    try:
        return os.listdir(f"/proc/{process.pid}/fd")
    except FileNotFoundError:
        pytest.skip("this system shows no open files of other processes")


@FORMS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2])
def test_signals_of_the_node_do_not_end_it(fresh: Node, number: signal.Signals) -> None:
    admin = admin_process(fresh)
    admin.send_signal(number)
    assert get(fresh.admin, "/-/healthy").status == 200
    assert admin_process(fresh).pid == admin.pid


@FORMS
def test_it_logs_as_the_node_does(extra: Sequence[str]) -> None:
    with Node(admin=True, extra=[*extra, "--log-format=json"]) as node:
        admin_process(node).kill()
        node.wait_for_log(r'"message": "the admin process died: it was killed by SIGKILL"')


def test_daemon_has_one(tmp_path: Path) -> None:
    (tmp_path / "docroot/dev1").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    pidfile = tmp_path / "pid"
    arguments = [f"--docroot={tmp_path}/docroot", f"--pidfile={pidfile}", "--daemonize"]
    arguments += ["--httplisten=127.0.0.1:0", f"--adminlisten=127.0.0.1:{port}"]
    ended = run(arguments, env={"PATH": "/usr/bin:/bin"}, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    process = psutil.Process(int(pidfile.read_text()))
    try:
        assert get(("127.0.0.1", port), "/-/healthy").status == 200
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    wait_until(lambda: refuses(("127.0.0.1", port)), "the admin process ends with the node")
