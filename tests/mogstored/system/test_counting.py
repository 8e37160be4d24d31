"""What a node counts of scripted conversations, as /status.json shows it."""

from __future__ import annotations

import errno
import json
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, ask, compose
from tests.support.sidechannel import manage
from tests.support.slow_disk import node_with_slow_disk
from tests.support.sockets import reset
from tests.support.threads import join
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(admin=True, mgmt=True) as node:
        yield node


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Node, Any]]:
    with node_with_slow_disk(tmp_path / "disk", admin=True, mgmt=True) as node_and_disk:
        yield node_and_disk


def status_of(node: Node) -> Any:
    return json.loads(ask(node.admin, compose("GET", "/status.json")).body)


def await_status(node: Node, path: str, expected: object) -> Any:
    """Wait until what `path` leads to is as expected; a client has its answer a moment before."""

    def found() -> Any:
        here = status_of(node)
        for key in path.split():
            here = here[int(key)] if isinstance(here, list) else here.get(key)
        return here

    last: list[Any] = []

    def is_there() -> bool:
        last[:] = [found()]
        return bool(last[0] == expected)

    try:
        wait_until(is_there, path)
    except AssertionError:
        assert last == [expected]
        raise
    return status_of(node)


def device_of(status: Any, name: str) -> Any:
    return next(each for each in status["devices"] if each["device"] == name)


def test_each_method_and_status_is_counted_once(node: Node) -> None:
    node.write("/dev1/a", b"x" * 1000)
    with Client(node.http) as client:
        for _ in range(3):
            assert client.request(compose("GET", "/dev1/a")).status == 200
        assert client.request(compose("GET", "/dev1/a", "Range: bytes=0-9")).status == 206
        assert client.request(compose("GET", "/dev1/a", "Range: bytes=5000-")).status == 416
        assert client.request(compose("HEAD", "/dev1/a"), head=True).status == 200
        assert client.request(compose("GET", "/dev1/none")).status == 404
        put = compose("PUT", "/dev1/b", "Content-Length: 3") + b"abc"
        assert client.request(put).status == 201
        assert client.request(compose("DELETE", "/dev1/b")).status == 204
        assert client.request(compose("DELETE", "/dev1/b")).status == 404
        assert client.request(compose("MKCOL", "/dev1/c")).status == 400
    expected = {
        "GET": {"200": 3, "206": 1, "416": 1, "404": 1},
        "HEAD": {"200": 1},
        "PUT": {"201": 1},
        "DELETE": {"204": 1, "404": 1},
        "MKCOL": {"400": 1},
    }
    status = await_status(node, "http requests", expected)
    durations = status["http"]["durations"]
    assert {name: each["count"] for name, each in durations.items()} == {
        name: sum(each.values()) for name, each in expected.items()
    }
    assert all(0 < each["sum_seconds"] < 60 for each in durations.values())
    operations = device_of(status, "dev1")["operations"]
    assert {name: each["count"] for name, each in operations.items()} == {
        "read": 7,
        "write": 1,
        "delete": 2,
    }
    assert device_of(status, "dev1")["wait"]["count"] == 10


@pytest.mark.parametrize(
    ("request_", "method", "code"),
    [
        (b"BREW /pot HTTP/1.1\r\n\r\n", "other", "400"),
        (b"garbage\r\n\r\n", "other", "400"),
        (b"GET /dev1/a HTTP/1.1\r\nA b: c\r\n\r\n", "GET", "400"),
        (b"PUT /dev1/a HTTP/1.1\r\nContent-Length: x\r\n\r\n", "PUT", "400"),
        (b"GET /" + b"x" * 40_000, "GET", "400"),
        (b"PUT /dev1/../a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "PUT", "403"),
    ],
    ids=["unknown", "garbage", "field", "length", "long", "climbing"],
)
def test_refused_request_is_counted(node: Node, request_: bytes, method: str, code: str) -> None:
    with Client(node.http) as client:
        assert str(client.request(request_).status) == code
    await_status(node, "http requests", {method: {code: 1}})


def test_head_that_arrives_in_pieces_is_one_request(node: Node) -> None:
    with Client(node.http) as client:
        for piece in (b"GET / HT", b"TP/1.1\r\n", b"Host: a\r\n", b"\r\n"):
            client.send(piece)
        assert client.read_response().status == 200
    await_status(node, "http requests", {"GET": {"200": 1}})


def test_pipelined_requests_are_counted_one_by_one(node: Node) -> None:
    with Client(node.http) as client:
        client.send(compose("GET", "/") * 20)
        for _ in range(20):
            assert client.read_response().status == 200
    await_status(node, "http requests", {"GET": {"200": 20}})


def test_client_that_leaves_without_a_whole_head_made_no_request(node: Node) -> None:
    with Client(node.http) as client:
        client.send(b"GET / HTTP/1.1\r\n")
    with Client(node.http) as client:
        assert client.request(compose("GET", "/")).status == 200
    await_status(node, "connections http active", 0)
    assert status_of(node)["http"]["requests"] == {"GET": {"200": 1}}


def test_bytes_are_those_on_the_wire(node: Node) -> None:
    """Bodies and heads, received by parts, and sent by sendfile and from memory."""
    node.write("/dev1/large", b"x" * (3 * MIB))
    node.write("/dev1/small", b"y" * 100)
    received = sent = 0
    with Client(node.http) as client:
        chunked = compose("PUT", "/dev1/c", "Transfer-Encoding: chunked")
        for request in (
            compose("GET", "/dev1/large"),
            compose("GET", "/dev1/small"),
            compose("PUT", "/dev1/p", f"Content-Length: {2 * MIB}") + b"z" * (2 * MIB),
            chunked + b"5\r\nabcde\r\n0\r\n\r\n",
            compose("GET", "/dev1/small", "Content-Length: 3") + b"abc",
        ):
            client.send(request)
            received += len(request)
            head = client.read_head()
            sent += len(head)
            if request.startswith(b"GET"):
                size = 3 * MIB if b"large" in request else 100
                assert len(client.read_exactly(size)) == size
                sent += size
    await_status(node, "http received_bytes", received)
    await_status(node, "http sent_bytes", sent)


def test_long_download_counts_its_bytes_while_it_lasts(node: Node) -> None:
    node.write("/dev1/large", b"x" * (64 * MIB))
    with Client(node.http) as client:
        client.send(compose("GET", "/dev1/large"))
        client.read_exactly(8 * MIB)
        wait_until(lambda: status_of(node)["http"]["sent_bytes"] >= 8 * MIB, "8 MiB are counted")
        before = await_status(node, "connections http active", 1)
        assert before["http"]["requests"] == {}
        client.read_exactly(56 * MIB)
    await_status(node, "http requests", {"GET": {"200": 1}})


def test_lost_download_has_the_status_that_was_decided(node: Node) -> None:
    node.write("/dev1/large", b"x" * (64 * MIB))
    with Client(node.http) as client:
        client.send(compose("GET", "/dev1/large", "Range: bytes=1-"))
        client.read_exactly(MIB)
        reset(client.sock)
    await_status(node, "http requests", {"GET": {"206": 1}})


def test_lost_upload_has_499(node: Node) -> None:
    with Client(node.http) as client:
        begun = compose("PUT", "/dev1/a", "Content-Length: 100") + b"abc"
        client.send(begun)
        await_status(node, "http received_bytes", len(begun))
    await_status(node, "http requests", {"PUT": {"499": 1}})


def test_mismatch_of_content_md5_is_counted(node: Node) -> None:
    wrong = "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="
    request = compose("PUT", "/dev1/a", "Content-Length: 3", wrong) + b"abc"
    assert ask(node.http, request).status == 400
    await_status(node, "http content_md5_mismatches", 1)
    await_status(node, "http requests", {"PUT": {"400": 1}})


def test_commands_are_counted_by_name(node: Node) -> None:
    node.write("/dev1/a", b"abc")
    with manage(node) as manager:
        for line in (
            b"size /dev1/a",
            b"MD5 /dev1/a",
            b"SHA-1 /dev1/a",
            b"what is this",
            b"size a",
        ):
            manager.ask(line)
        await_status(node, "sidechannel commands", {"size": 1, "MD5": 1, "SHA-1": 1, "other": 2})
        status = await_status(node, "connections sidechannel idle", 1)
    operations = device_of(status, "dev1")["operations"]
    assert {name: each["count"] for name, each in operations.items()} == {"read": 1, "digest": 4}


def test_request_that_waits_for_its_device(slow: tuple[Node, Any]) -> None:
    node, disk = slow
    disk.hang()
    request = compose("GET", "/dev2/a")
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(node.http)) for _ in range(40)]
        for client in clients:
            client.send(request)

        def waits() -> bool:
            device = device_of(status_of(node), "dev2")
            return bool(device["waiting"] and device["waiting"] + device["in_flight"] == 40)

        wait_until(waits, "all requests run or wait")
        waiting = device_of(status_of(node), "dev2")["waiting"]
        status = await_status(node, "connections http waiting", waiting)
        assert status["connections"]["http"]["active"] == 40 - waiting
        wait_until(
            lambda: device_of(status_of(node), "dev2")["state"] == "hung", "the device hangs"
        )
        assert device_of(status_of(node), "dev2")["oldest_waiting_seconds"] > 0
        disk.release()
        for client in clients:
            assert client.read_response().status in (200, 404)
    status = await_status(node, "connections http waiting", 0)
    device = device_of(status, "dev2")
    assert (device["in_flight"], device["waiting"]) == (0, 0)
    assert device["wait"]["count"] >= 40
    assert device["wait"]["sum_seconds"] > 0
    assert device["operations"]["read"]["sum_seconds"] > 0


def test_error_of_the_disk_is_counted_by_operation_and_name(slow: tuple[Node, Any]) -> None:
    node, disk = slow
    disk.fail(errno.EIO)
    request = compose("PUT", "/dev2/a", "Content-Length: 1") + b"x"
    assert ask(node.http, request).status >= 500
    wait_until(lambda: device_of(status_of(node), "dev2")["errors"], "the error is counted")
    errors = device_of(status_of(node), "dev2")["errors"]
    assert errors == {"write": {"EIO": 1}}


@pytest.mark.parametrize("extra", [(), ("--worker-processes", "2")], ids=["single", "workers"])
def test_no_request_is_missed_among_many_threads(extra: tuple[str, ...]) -> None:
    with Node(admin=True, mgmt=True, extra=extra) as node:
        node.write("/dev1/a", b"x" * 10)

        def ask_often() -> None:
            with Client(node.http) as client:
                for number in range(200):
                    target = "/dev1/a" if number % 2 else "/dev1/none"
                    client.request(compose("GET", target))

        threads = [threading.Thread(target=ask_often, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            join(thread)
        status = await_status(node, "http requests", {"GET": {"200": 800, "404": 800}})
        assert status["http"]["durations"]["GET"]["count"] == 1600
        assert device_of(status, "dev1")["operations"]["read"]["count"] == 1600


def test_idle_connections_and_threads(node: Node) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            client = stack.enter_context(Client(node.http))
            assert client.request(compose("GET", "/")).status == 200
        status = await_status(node, "connections http", {"idle": 5, "active": 0, "waiting": 0})
        threads = status["threads"]
        assert threads["worker"]["idle"] > 0
        assert threads["acceptor"]["idle"] == 2
    await_status(node, "connections http", {"idle": 0, "active": 0, "waiting": 0})


def test_size_and_utilization_of_a_device(node: Node) -> None:
    status = status_of(node)
    device = device_of(status, "dev1")
    assert device["size_bytes"] >= device["available_bytes"] > 0
    assert device["state"] == "ok"


def test_wrong_digest_of_a_tracker_that_tries_one_is_no_mismatch(node: Node) -> None:
    wrong = "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="
    with Client(node.http) as client:
        for target in ("/dev1/test-write/test-md5", "/dev1/file"):
            answer = client.request(compose("PUT", target, wrong, "Content-Length: 1") + b"x")
            assert answer.status == 400
    await_status(node, "http content_md5_mismatches", 1)


def test_device_that_was_removed_is_not_shown() -> None:
    with Node(admin=True, mgmt=True, extra=["--usage-interval=1"]) as node:
        await_status(node, "devices 1 device", "dev2")
        node.path("/dev2").rename(node.docroot / "removed")
        wait_until(lambda: len(status_of(node)["devices"]) == 1, "it is gone")


def test_state_of_a_device(slow: tuple[Node, Any]) -> None:
    node, disk = slow
    await_status(node, "devices 1 state", "ok")
    disk.fail(errno.EROFS, "create", "unlink")
    with Client(node.http) as client:
        answer = client.request(compose("PUT", "/dev2/file", "Content-Length: 1") + b"x")
        assert answer.status == 403
    await_status(node, "devices 1 state", "read-only")
    disk.release()
    with Client(node.http) as client:
        answer = client.request(compose("PUT", "/dev2/file", "Content-Length: 1") + b"x")
        assert answer.status == 201
    await_status(node, "devices 1 state", "ok")
