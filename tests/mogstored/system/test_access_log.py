"""Each request has a line in the access log, however it ends."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.access_lines import parse_combined, parse_json
from tests.support.daemon import Node
from tests.support.forms import FORMS
from tests.support.http import Client, ask, compose
from tests.support.puts import wait_until_begun
from tests.support.slow_disk import node_with_slow_disk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Shown = tuple[str, int, int, int, str]


class Log:
    """The lines of a node's access log."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[dict[str, str]]:
        """Return the whole lines so far, parsed."""
        whole = self.path.read_text().rpartition("\n")[0]
        return [parse_combined(line) for line in whole.splitlines()]

    def wait(self, count: int) -> list[dict[str, str]]:
        """Return the lines once there are so many."""
        wait_until(lambda: len(self.lines()) >= count, f"{count} lines")
        return self.lines()

    def shown(self, count: int) -> list[Shown]:
        """Return request, status, bytes sent and received, and device."""
        return [
            (it["request"], int(it["status"]), int(it["sent"]), int(it["received"]), it["device"])
            for it in self.wait(count)
        ]


@contextmanager
def logging_node(tmp_path: Path, **options: Any) -> Iterator[tuple[Node, Log]]:
    path = tmp_path / "access.log"
    extra = [*options.pop("extra", ()), f"--access-log={path}"]
    with Node(extra=extra, **options) as node:
        yield node, Log(path)


CHUNKS = b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
REQUESTS: list[tuple[bytes, Shown]] = [
    (compose("GET", "/dev1/file"), ("GET /dev1/file HTTP/1.1", 200, 2000, 0, "dev1")),
    (compose("HEAD", "/dev1/file"), ("HEAD /dev1/file HTTP/1.1", 200, 0, 0, "dev1")),
    (
        compose("GET", "/dev1/file", "Range: bytes=0-9"),
        ("GET /dev1/file HTTP/1.1", 206, 10, 0, "dev1"),
    ),
    (
        compose("GET", "/dev1/file", "Range: bytes=5000-"),
        ("GET /dev1/file HTTP/1.1", 416, 0, 0, "dev1"),
    ),
    (compose("GET", "/dev1/large"), ("GET /dev1/large HTTP/1.1", 200, 3_000_000, 0, "dev1")),
    (compose("GET", "/dev2/none"), ("GET /dev2/none HTTP/1.1", 404, 0, 0, "dev2")),
    (compose("GET", "/dev7/none"), ("GET /dev7/none HTTP/1.1", 404, 0, 0, "-")),
    (compose("GET", "/"), ("GET / HTTP/1.1", 200, 0, 0, "-")),
    (compose("GET", "/", version="1.0"), ("GET / HTTP/1.0", 200, 0, 0, "-")),
    (compose("GET", "//dev1/file"), ("GET //dev1/file HTTP/1.1", 200, 2000, 0, "dev1")),
    (compose("GET", "/../x"), ("GET /../x HTTP/1.1", 403, 0, 0, "-")),
    (
        compose("PUT", "/dev2/new", "Content-Length: 4") + b"body",
        ("PUT /dev2/new HTTP/1.1", 201, 0, 4, "dev2"),
    ),
    (
        compose("PUT", "/dev2/new", "Transfer-Encoding: chunked") + CHUNKS,
        ("PUT /dev2/new HTTP/1.1", 201, 0, 4, "dev2"),
    ),
    (
        compose("PUT", "/dev2/new", "Content-Length: 1", "Content-MD5: " + "A" * 22 + "==") + b"x",
        ("PUT /dev2/new HTTP/1.1", 400, 0, 1, "dev2"),
    ),
    (compose("DELETE", "/dev2/none"), ("DELETE /dev2/none HTTP/1.1", 404, 0, 0, "dev2")),
    (compose("MKCOL", "/dev2/dir"), ("MKCOL /dev2/dir HTTP/1.1", 400, 0, 0, "dev2")),
    (compose("POST", "/dev1/file"), ("POST /dev1/file HTTP/1.1", 400, 0, 0, "-")),
    (b'\x16\x03\x01 garbage"\r\n\r\n', ('\x16\x03\x01 garbage"', 400, 0, 0, "-")),
    (b"GET /a b c\r\n\r\n", ("GET /a b c", 400, 0, 0, "-")),
]


def test_every_kind_of_request_has_a_line(tmp_path: Path) -> None:
    with logging_node(tmp_path) as (node, log):
        node.write("/dev1/file", b"x" * 2000)
        node.write("/dev1/large", b"x" * 3_000_000)
        for number, (request, expected) in enumerate(REQUESTS, 1):
            status = ask(node.http, request).status
            line = log.shown(number)[-1]
            assert line == expected
            assert line[1] == status


def test_small_file_again_and_again(tmp_path: Path) -> None:
    """The second is answered from memory, the third without parsing."""
    with logging_node(tmp_path) as (node, log):
        node.write("/dev1/file", b"x" * 100)
        with Client(node.http) as client:
            for _ in range(4):
                client.request(compose("GET", "/dev1/file", "User-Agent: me"))
        assert log.shown(4) == [("GET /dev1/file HTTP/1.1", 200, 100, 0, "dev1")] * 4
        assert {line["agent"] for line in log.lines()} == {"me"}
        assert {line["client"] for line in log.lines()} == {"127.0.0.1"}


def test_pipelined_requests(tmp_path: Path) -> None:
    with logging_node(tmp_path) as (node, log), Client(node.http) as client:
        requests = [compose("GET", f"/dev1/{number}") for number in range(20)]
        client.send(b"".join(requests))
        for _ in requests:
            assert client.read_response().status == 404
        shown = [line["request"] for line in log.wait(20)]
        assert shown == [f"GET /dev1/{number} HTTP/1.1" for number in range(20)]


def test_head_in_pieces_is_logged_whole(tmp_path: Path) -> None:
    request = compose("GET", "/dev1/none", "User-Agent: a slow one")
    with logging_node(tmp_path) as (node, log), Client(node.http) as client:
        for byte in request:
            client.send(bytes([byte]))
        assert client.read_response().status == 404
        (line,) = log.wait(1)
        assert (line["request"], line["agent"]) == ("GET /dev1/none HTTP/1.1", "a slow one")


def test_head_refused_before_it_is_whole(tmp_path: Path) -> None:
    with logging_node(tmp_path) as (node, log), Client(node.http) as client:
        client.send(b"GET /dev1/a HTTP/1.1\r\n")
        client.send(b"no field\r\n")
        assert client.read_response().status == 400
        ((request, status, *_),) = log.shown(1)
        assert (request, status) == ("GET /dev1/a HTTP/1.1", 400)


def test_upload_whose_client_goes_away(tmp_path: Path) -> None:
    with logging_node(tmp_path) as (node, log):
        with Client(node.http) as client:
            client.send(compose("PUT", "/dev1/new", "Content-Length: 1000") + b"x" * 600)
            wait_until_begun(node, "/dev1/new")
        assert log.shown(1) == [("PUT /dev1/new HTTP/1.1", 499, 0, 600, "dev1")]


def test_download_whose_client_goes_away(tmp_path: Path) -> None:
    size = 64 * 1024 * 1024
    with logging_node(tmp_path) as (node, log):
        os.truncate(node.write("/dev1/large", b""), size)
        with Client(node.http) as client:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.send(compose("GET", "/dev1/large"))
            client.recv_once()
        ((request, status, sent, *_),) = log.shown(1)
        assert (request, status) == ("GET /dev1/large HTTP/1.1", 200)
        assert 0 < sent < size


def test_port_for_reading(tmp_path: Path) -> None:
    with logging_node(tmp_path, httpget=True) as (node, log):
        assert node.httpget is not None
        assert ask(node.httpget, compose("DELETE", "/dev1/a")).status == 405
        assert log.shown(1) == [("DELETE /dev1/a HTTP/1.1", 405, 0, 0, "dev1")]


def test_silent_clients_and_probes_without_a_request_have_no_line(tmp_path: Path) -> None:
    with logging_node(tmp_path) as (node, log):
        for sent in (b"", b"GET /dev1/a", b"\r\n"):
            with Client(node.http) as client:
                client.send(sent)
        ask(node.http, compose("GET", "/"))
        assert log.shown(1) == [("GET / HTTP/1.1", 200, 0, 0, "-")]


def test_a_client_cannot_write_a_line(tmp_path: Path) -> None:
    agent = b'"\n10.0.0.1 - - [x] "\\x22 \xff\x1b[2J'
    with logging_node(tmp_path) as (node, log), Client(node.http) as client:
        client.send(b'GET / HTTP/1.1\r\nUser-Agent: a\\x22\xe9"b\r\nReferer: %b' % agent)
        client.send(b"\r\n\r\n")
        assert client.read_response().status == 400
        text = log.path
        wait_until(lambda: text.stat().st_size, "the line is there")
        (line,) = log.lines()
        assert line["status"] == "400"


def test_json_lines(tmp_path: Path) -> None:
    with logging_node(tmp_path, extra=["--access-log-format=json"]) as (node, log):
        node.write("/dev1/file", b"x" * 100)
        ask(node.http, compose("GET", "/dev1/file", "User-Agent: caf\xe9"))
        wait_until(lambda: log.path.read_text().endswith("\n"), "the line is there")
        fields = parse_json(log.path.read_text())
        for name, least in (("time", ""), ("duration_seconds", 0.0)):
            assert fields.pop(name) > least
        assert fields == {
            "client": "127.0.0.1",
            "method": "GET",
            "target": "/dev1/file",
            "protocol": "HTTP/1.1",
            "status": 200,
            "sent_bytes": 100,
            "received_bytes": 0,
            "waited_seconds": 0.0,
            "device": "dev1",
            "errno": None,
            "referer": None,
            "user_agent": "caf\\xe9",
        }


def test_error_and_wait_of_a_bad_disk(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = Log(path)
    with node_with_slow_disk(tmp_path / "disk", extra=[f"--access-log={path}"]) as (node, disk):
        (disk.path / "file").write_bytes(b"content")
        disk.fail(errno.EIO, "open")
        assert ask(node.http, compose("GET", "/dev2/file")).status == 500
        (line,) = log.wait(1)
        assert (line["status"], line["device"], line["error"]) == ("500", "dev2", "EIO")
        disk.release()
        disk.hang("open")
        clients = [Client(node.http) for _ in range(25)]
        try:
            for client in clients:
                client.send(compose("GET", "/dev2/file"))
            disk.wait_until_held(10, "open")
            disk.release()
            for client in clients:
                assert client.read_response().status == 200
        finally:
            for client in clients:
                client.close()
        lines = log.wait(26)[1:]
        waited = [float(line["waited"]) for line in lines]
        # Ten are served at a time; of them, those that borrowed a slot have asked for it.
        assert 15 <= sum(each > 0 for each in waited) < 25
        assert all(float(line["duration"]) >= float(line["waited"]) for line in lines)


@FORMS
def test_all_lines_are_there_after_a_stop(tmp_path: Path, extra: list[str]) -> None:
    count = 300
    with logging_node(tmp_path, extra=extra) as (node, log):
        for number in range(count):
            ask(node.http, compose("GET", f"/dev1/{number}"))
    requests = {line["request"] for line in log.lines()}
    assert requests == {f"GET /dev1/{number} HTTP/1.1" for number in range(count)}
    assert len(log.lines()) == count


def test_off_by_default(tmp_path: Path) -> None:
    """And then it has no thread."""
    with Node() as node:
        ask(node.http, compose("GET", "/dev1/a"))
        names = {thread.id for thread in node.process.threads()}
    with logging_node(tmp_path) as (node, _):
        assert len(node.process.threads()) == len(names) + 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_addresses_of_version_6(tmp_path: Path, version: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no address of version 6: {error}")
    with logging_node(tmp_path, http=False, extra=["--httplisten=[::1]:0"]) as (node, log):
        port = int(node.wait_for_log(r"listening for http on \[::1\]:").rpartition(":")[2])
        with socket.create_connection(("::1", port)) as sock:
            sock.sendall(compose("GET", "/", version=version))
            sock.recv(100)
        (line,) = log.wait(1)
        assert line["client"] == "::1"
