"""The graceful stop of a whole node, also one with worker processes: nothing half done."""

from __future__ import annotations

import hashlib
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import Node
from tests.support.forms import FORMS, SMALL_FORMS
from tests.support.http import GET_ROOT, Client, compose
from tests.support.processes import is_alive
from tests.support.puts import CHUNKED, chunk, put_head, wait_until_begun
from tests.support.sidechannel import manage
from tests.support.sockets import refuses
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = 100 * 1024 * 1024


FAILING_REPORT = """
from mogstored.process.lifecycle import Lifecycle

def announce_stopping(self):
    raise MemoryError

Lifecycle.announce_stopping = announce_stopping
"""


@pytest.fixture(params=[[], ["--worker-processes=3"]], ids=["single", "workers"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with Node(httpget=True, mgmt=True, extra=request.param) as node:
        yield node


@FORMS
def test_no_process_is_left_when_the_node_has_ended(extra: list[str]) -> None:
    with Node(admin=True, extra=extra) as node:
        family = node.process.children(recursive=True)
        assert len(family) >= 2
        assert node.stop() == 0
        # One that has ended is reaped by process 1.
        assert not [each for each in family if is_alive(each)]


def holders_of(node: Node, client: Client) -> int:
    """Count the processes of a node that hold the other end of a connection."""
    name = client.sock.getsockname()
    family = [node.process, *node.process.children(recursive=True)]
    return sum(
        tuple(each.raddr) == name
        for process in family
        for each in process.net_connections(kind="tcp")
    )


def wait_until_accepted(node: Node, client: Client) -> None:
    wait_until(lambda: holders_of(node, client), "the connection is accepted")


def test_slow_reader_gets_all_of_a_large_file(node: Node) -> None:
    content = node.write("/dev1/large", b"")
    with content.open("wb") as file:
        file.truncate(LARGE)
    with Client(node.http) as client:
        client.send(compose("GET", "/dev1/large"))
        client.read_head()
        node.begin_stop(signal.SIGQUIT)
        assert len(client.read_exactly(LARGE)) == LARGE
        client.read_eof()
    assert node.wait() == 0


def test_upload_in_pieces_is_stored(node: Node) -> None:
    with Client(node.http) as client:
        client.send(put_head("/dev1/new", CHUNKED) + chunk(b"before "))
        wait_until_begun(node, "/dev1/new")
        node.begin_stop(signal.SIGQUIT)
        assert client.request(chunk(b"after") + b"0\r\n\r\n").status == 201
        client.read_eof()
    assert node.path("/dev1/new").read_bytes() == b"before after"
    assert node.wait() == 0


def test_request_of_which_one_byte_has_come_is_awaited(node: Node) -> None:
    with Client(node.http) as client:
        client.send(GET_ROOT[:1])
        wait_until_accepted(node, client)
        node.begin_stop(signal.SIGQUIT)
        assert client.request(GET_ROOT[1:]).status == 200
        client.read_eof()
    assert node.wait() == 0


def test_clients_in_the_backlog_are_answered(node: Node) -> None:
    """They connected and sent their requests before the stop, but were not accepted yet."""
    family = [node.process, *node.process.children(recursive=True)]
    for process in family:
        process.suspend()
    clients = [Client(node.http) for _ in range(100)]
    managers = [manage(node) for _ in range(30)]
    for client in clients:
        client.send(GET_ROOT)
    for manager in managers:
        manager.send(b"size /dev1/none\r\n")
    node.send_signal(signal.SIGTERM)
    for process in family:
        process.resume()
    for client in clients:
        assert client.read_response().status == 200
        client.read_eof()
    for manager in managers:
        assert manager.read_line() == b"/dev1/none -1\r\n"
        manager.read_eof()
    for client in (*clients, *managers):
        client.close()
    assert node.wait() == 0


def test_digest_partly_asked_for_is_answered_and_so_are_those_behind_it(node: Node) -> None:
    node.write("/dev1/file", b"content")
    line = b"MD5 /dev1/file fsck\r\n"
    answer = b"/dev1/file MD5=%b\r\n" % hashlib.md5(b"content").hexdigest().encode()
    with manage(node) as manager:
        manager.send(line[:5])
        wait_until_accepted(node, manager)
        node.begin_stop(signal.SIGQUIT)
        manager.send(line[5:] + 4 * line)
        assert manager.read_lines(5) == 5 * [answer]
        manager.read_eof()
    assert node.wait() == 0


def test_running_digest_is_finished(node: Node) -> None:
    with node.write("/dev1/large", b"").open("wb") as file:
        file.truncate(LARGE)
    with manage(node) as manager:
        manager.send(b"SHA-1 /dev1/large\r\n")
        wait_until_accepted(node, manager)
        node.begin_stop(signal.SIGQUIT)
        assert manager.read_line().startswith(b"/dev1/large SHA-1=")
        manager.read_eof()
    assert node.wait() == 0


def test_watchers_and_idle_clients_are_sent_away(node: Node) -> None:
    with manage(node) as watcher, manage(node) as idle, Client(node.http) as unused:
        watcher.send(b"watch\n")
        watcher.read_block()
        for client in (idle, unused):
            wait_until_accepted(node, client)
        node.send_signal(signal.SIGTERM)
        watcher.read_to_eof()
        idle.read_eof()
        unused.read_eof()
    assert node.wait() == 0


@pytest.mark.parametrize("command", [b"shutdown\r\n", b"shutdown graceful\r\n"])
def test_sidechannel_stops_it_as_a_signal_does(node: Node, command: bytes) -> None:
    with Client(node.http) as client, manage(node) as manager:
        client.send(put_head("/dev1/new", "Content-Length: 2") + b"1")
        wait_until_begun(node, "/dev1/new")
        manager.send(command)
        manager.read_eof()
        wait_until(lambda: refuses(node.http), "connecting is refused")
        assert node.is_running()
        assert client.request(b"2").status == 201
    assert node.wait() == 0


def test_last_of_the_usage_files_are_complete(node: Node) -> None:
    assert node.stop() == 0
    for device in ("dev1", "dev2"):
        assert len((node.docroot / device / "usage").read_text().splitlines()) == 7
        assert [path.name for path in (node.docroot / device).iterdir()] == ["usage"]


def test_nothing_is_left_of_what_it_started(node: Node) -> None:
    with manage(node) as watcher:
        watcher.send(b"watch\n")
        watcher.read_block()
        family = node.process.children(recursive=True)
        assert node.stop() == 0
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
        assert alive == []


@SMALL_FORMS
def test_stop_that_cannot_be_reported_is_graceful_all_the_same(extra: list[str]) -> None:
    with Node(extra=extra, injected=FAILING_REPORT) as node:
        node.write("/dev1/file", b"content")
        with Client(node.http) as client:
            client.send(b"GET /dev1/file HTTP/1.0\r\n")
            wait_until_accepted(node, client)
            node.begin_stop(signal.SIGQUIT)
            node.wait_for_log("the main thread failed; it goes on: too little memory")
            client.send(b"\r\n")
            assert client.read_response().status == 200
        assert node.wait() == 0
