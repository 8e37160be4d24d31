"""Clients that take too long are ended, each at its place, and others are not."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.processes import clients_of_all
from tests.support.puts import (
    CHUNKED,
    assert_created,
    assert_short,
    put,
    put_head,
    traces,
    wait_until_begun,
    wait_until_untouched,
)
from tests.support.sidechannel import Manager
from tests.support.slow_disk import node_with_slow_disk
from tests.support.sockets import fill, room_for
from tests.support.waiting import PATIENCE_S, unless_late, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT_S = 1
# No test lasts so long.
FAR_S = 3600
TIMED_OUT = "408 Request Timeout"
HALF = b"GET / HTTP/1.1\r\nHost: a"
# Kernels keep some megabytes of it for a client that reads nothing.
LARGE = 64 * 1024 * 1024
CROWD = 1000


def limits(**seconds: int) -> list[str]:
    """Return options: the time-outs named, and all others too long to matter."""
    names = ("client_header_timeout", "client_body_timeout", "send_timeout", "keepalive_timeout")
    assert seconds.keys() <= set(names)
    return [f"--{name.replace('_', '-')}={seconds.get(name, FAR_S)}" for name in names]


@pytest.fixture(scope="module")
def all_short() -> Iterator[Node]:
    """A node on which every time-out is short."""
    names = ("client_header_timeout", "client_body_timeout", "send_timeout", "keepalive_timeout")
    with Node(mgmt=True, extra=limits(**dict.fromkeys(names, LIMIT_S))) as node:
        yield node


@pytest.fixture(scope="module")
def for_heads() -> Iterator[Node]:
    with Node(extra=limits(client_header_timeout=LIMIT_S)) as node:
        yield node


@pytest.fixture(scope="module")
def for_bodies() -> Iterator[Node]:
    with Node(extra=limits(client_body_timeout=LIMIT_S)) as node:
        yield node


@pytest.fixture(scope="module")
def for_readers() -> Iterator[Node]:
    with Node(extra=limits(send_timeout=LIMIT_S)) as node:
        node.write("/dev1/large", b"x" * LARGE)
        yield node


@pytest.fixture(scope="module")
def for_idle() -> Iterator[Node]:
    with Node(mgmt=True, extra=limits(keepalive_timeout=LIMIT_S)) as node:
        yield node


def expect_408(client: Client) -> None:
    assert_short(client.read_response(), TIMED_OUT, keep=False)
    client.read_eof()


def lasts(began: float) -> float:
    return time.monotonic() - began


# Heads


@pytest.mark.parametrize("part", [b"G", HALF, HALF + b"\r\n", b"\r\n"])
def test_half_of_a_head(for_heads: Node, part: bytes) -> None:
    with Client(for_heads.http) as client:
        began = time.monotonic()
        client.send(part)
        expect_408(client)
        assert lasts(began) > LIMIT_S / 2


def test_head_that_trickles(for_heads: Node) -> None:
    """Each byte comes soon after the last one, but the whole takes too long."""
    with Client(for_heads.http) as client:
        stop = threading.Event()

        def trickle() -> None:
            client.send(HALF)
            while not stop.wait(0.05):
                try:
                    client.send(b"a")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            assert_short(client.read_response(), TIMED_OUT, keep=False)
        finally:
            stop.set()
            thread.join()


def test_head_in_two_pieces_that_comes_in_time(for_heads: Node) -> None:
    def attempt(note: Callable[[], None]) -> None:
        with Client(for_heads.http) as client:
            for _ in range(3):
                # Together they take longer than one may.
                client.send(HALF)
                time.sleep(LIMIT_S / 2)
                assert client.request(b"\r\n\r\n").keeps
                note()

    unless_late(attempt, LIMIT_S)


def test_silent_client_is_closed_without_an_answer(for_heads: Node) -> None:
    with Client(for_heads.http) as client:
        client.read_eof()


def test_idle_client_that_has_asked_is_not_late_with_a_head(for_heads: Node) -> None:
    with Client(for_heads.http) as client, Client(for_heads.http) as late:
        assert client.request(compose("GET", "/")).keeps
        late.send(HALF)
        expect_408(late)
        assert client.request(compose("GET", "/")).keeps


def test_second_head_behind_a_first(for_heads: Node) -> None:
    with Client(for_heads.http) as client:
        client.send(compose("GET", "/") + HALF)
        assert client.read_response().status == 200
        expect_408(client)


def test_old_version(for_heads: Node) -> None:
    with Client(for_heads.http) as client:
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n")
        expect_408(client)


def test_line_in_the_log(for_heads: Node) -> None:
    with Client(for_heads.http) as client:
        client.send(HALF)
        host, port = client.sock.getsockname()
        expect_408(client)
    for_heads.wait_for_log(f"a request from {host}:{port} timed out: its head was not whole")


def test_crowd_of_slow_heads() -> None:
    with (
        room_for(2 * CROWD),
        Node(extra=limits(client_header_timeout=LIMIT_S)) as node,
        ExitStack() as stack,
    ):
        clients = []
        for _ in range(CROWD):
            clients.append(stack.enter_context(Client(node.http)))
            # At once: one that is silent for too long is closed without an answer.
            clients[-1].send(HALF)
        for client in clients:
            assert_short(client.read_response(), TIMED_OUT, keep=False)
            client.read_eof()
        with Client(node.http) as client:
            assert client.request(compose("GET", "/")).status == 200
        lines = [line for line in node.stderr_lines() if "its head was not whole" in line]
        assert 0 < len(lines) < CROWD / 2


# Bodies


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        (["Content-Length: 100"], b""),
        (["Content-Length: 100"], b"part"),
        ([CHUNKED], b""),
        ([CHUNKED], b"4\r\npart\r\n"),
        ([CHUNKED], b"4\r\npa"),
        ([CHUNKED], b"4\r\npart\r\n0\r\nContent-MD5: "),
        (["Content-Length: 100", "Content-MD5: UOo7AE3xTxvWJrbGC5nt9w=="], b"part"),
    ],
)
def test_body_that_stops(for_bodies: Node, fields: list[str], part: bytes) -> None:
    with Client(for_bodies.http) as client:
        client.send(put_head("/dev1/stopped/file", *fields) + part)
        wait_until_begun(for_bodies, "/dev1/stopped/file")
        expect_408(client)
    wait_until_untouched(for_bodies, "/dev1/stopped/file")
    # One line a second for each path.
    for_bodies.wait_for_log("PUT /dev1/stopped/file failed from .* bytes: nothing came for 1 s")


def test_file_that_was_there_stays(for_bodies: Node) -> None:
    for_bodies.write("/dev1/old/file", b"old")
    with Client(for_bodies.http) as client:
        client.send(put_head("/dev1/old/file", "Content-Length: 10") + b"new")
        expect_408(client)
    assert traces(for_bodies, "/dev1/old/file") == ["file"]
    assert for_bodies.path("/dev1/old/file").read_bytes() == b"old"


def test_client_that_waits_for_a_100_and_then_for_ever(for_bodies: Node) -> None:
    with Client(for_bodies.http) as client:
        client.send(put_head("/dev1/e/file", "Content-Length: 5", "Expect: 100-continue"))
        assert client.read_response().status == 100
        expect_408(client)
    wait_until_untouched(for_bodies, "/dev1/e/file")


def test_body_that_goes_on_in_time(for_bodies: Node) -> None:
    def attempt(note: Callable[[], None]) -> None:
        with Client(for_bodies.http) as client:
            client.send(put_head("/dev1/slow/file", "Content-Length: 6"))
            for _ in range(6):
                # Longer in all than one pause may be.
                time.sleep(LIMIT_S / 3)
                client.send(b"x")
                note()
            assert_created(client.read_response())

    unless_late(attempt, LIMIT_S)
    assert for_bodies.path("/dev1/slow/file").read_bytes() == b"xxxxxx"


def test_body_without_a_use_that_stops(for_bodies: Node) -> None:
    with Client(for_bodies.http) as client:
        assert client.request(compose("GET", "/", "Content-Length: 10")).keeps
        # A second answer would be taken for that of the next request.
        client.read_eof()


# Answers


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_reader_that_stops(for_readers: Node, version: str) -> None:
    with Client(for_readers.http) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(compose("GET", "/dev1/large", version=version))
        host, port = client.sock.getsockname()
        for_readers.wait_for_log(f"sending /dev1/large .* to {host}:{port} timed out")
        wait_until(lambda: open_files(for_readers, "large") == 0, "the file is closed")
        with pytest.raises(ConnectionResetError):
            client.read_to_eof()


def test_reader_that_asks_on_and_stops_reading(for_readers: Node) -> None:
    """Answers that the socket does not take any more, between requests."""
    with Client(for_readers.http) as client:
        host, port = client.sock.getsockname()
        stop = threading.Event()

        def ask_on() -> None:
            sent = 0
            while not stop.is_set():
                try:
                    sent += fill(client.sock, compose("GET", "/") * 100, sent)
                except OSError:
                    return
                stop.wait(0.01)

        thread = threading.Thread(target=ask_on)
        thread.start()
        try:
            for_readers.wait_for_log(f"sending an answer to {host}:{port} timed out")
        finally:
            stop.set()
            thread.join()


def test_slow_reader_that_goes_on(for_readers: Node) -> None:
    def attempt(note: Callable[[], None]) -> None:
        with Client(for_readers.http) as client:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            client.send(compose("GET", "/dev1/large"))
            head = client.read_head()
            assert head.startswith(b"HTTP/1.1 200")
            for _ in range(8):
                # Each pause is shorter than the limit, and all of them are longer.
                time.sleep(LIMIT_S / 4)
                client.read_exactly(LARGE // 8)
                note()

    unless_late(attempt, LIMIT_S)


def open_files(node: Node, name: str) -> int:
    return sum(file.path.endswith(name) for file in node.process.open_files())


# Idle connections


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_idle_client_is_closed_silently(for_idle: Node, version: str) -> None:
    request = compose("GET", "/", "Connection: keep-alive", version=version)

    def attempt(note: Callable[[], None]) -> None:
        with Client(for_idle.http) as client:
            for _ in range(4):
                time.sleep(LIMIT_S / 3)
                assert client.request(request).keeps
                note()

    unless_late(attempt, LIMIT_S)
    with Client(for_idle.http) as client:
        began = time.monotonic()
        assert client.request(request).keeps
        client.read_eof()
        assert lasts(began) > LIMIT_S / 2


def test_client_that_never_asked_is_closed_where_heads_have_no_limit() -> None:
    with Node(extra=[f"--keepalive-timeout={LIMIT_S}"]) as node, Client(node.http) as client:
        client.read_eof()


def test_other_waits_are_not_idle(for_idle: Node) -> None:
    with (
        Client(for_idle.http) as head,
        Client(for_idle.http) as body,
        Client(for_idle.http) as idle,
    ):
        head.send(HALF)
        body.send(put_head("/dev1/other/file", "Content-Length: 1"))
        assert idle.request(compose("GET", "/")).keeps
        idle.read_eof()
        assert head.request(b"\r\n\r\n").status == 200
        body.send(b"x")
        assert_created(body.read_response())


def test_sidechannel_has_no_time_out(all_short: Node) -> None:
    assert all_short.mgmt is not None
    with (
        Manager(all_short.mgmt) as idle,
        Manager(all_short.mgmt) as half,
        Client(all_short.http) as first,
    ):
        half.send(b"size /dev1")
        first.read_eof()
        with Client(all_short.http) as second:
            second.read_eof()
        idle.send(b"size /dev1/missing\r\n")
        assert idle.read_line() == b"/dev1/missing -1\r\n"
        half.send(b"/missing\r\n")
        assert half.read_line() == b"/dev1/missing -1\r\n"


# Not the client's time


def test_time_of_a_device_that_hangs_does_not_count(tmp_path: Path) -> None:
    every = ("client_header_timeout", "client_body_timeout", "send_timeout", "keepalive_timeout")
    with node_with_slow_disk(tmp_path / "disk", extra=limits(**dict.fromkeys(every, LIMIT_S))) as (
        node,
        disk,
    ):
        body = b"x" * 200_000
        node.write("/dev2/file", body)
        disk.hang()
        with ExitStack() as stack:
            # More than the device has slots: some wait in its queue.
            readers = [stack.enter_context(Client(node.http)) for _ in range(30)]
            writers = [stack.enter_context(Client(node.http)) for _ in range(30)]
            for client in readers:
                client.send(compose("GET", "/dev2/file"))
            for number, client in enumerate(writers):
                client.send(put(f"/dev2/new/{number}", body))
            # Clients of the other device are late meanwhile, twice.
            for _ in range(2):
                with Client(node.http) as late:
                    late.send(HALF)
                    expect_408(late)
            disk.release()
            for client in readers:
                assert client.read_response().body == body
            for client in writers:
                assert_created(client.read_response())


def test_workers(tmp_path: Path) -> None:
    with (
        Node(extra=[*limits(client_header_timeout=LIMIT_S), "--worker-processes=2"]) as node,
        clients_of_all(node) as clients,
    ):
        for client in clients.values():
            client.send(HALF)
        for client in clients.values():
            expect_408(client)


def test_stop_does_not_wait_for_a_client_that_is_late() -> None:
    with Node(extra=limits(client_body_timeout=LIMIT_S)) as node, Client(node.http) as client:
        client.send(put_head("/dev1/late/file", "Content-Length: 5"))
        wait_until_begun(node, "/dev1/late/file")
        node.begin_stop()
        expect_408(client)
        assert node.wait(PATIENCE_S) == 0


def test_without_time_outs_there_is_no_thread_for_them() -> None:
    with Node() as without, Node(extra=limits()) as node:
        few, many = (each.process.num_threads() for each in (without, node))
        assert many == few + 1


@pytest.mark.parametrize("workers", ["0", "2"])
def test_time_outs_change_while_the_node_runs(tmp_path: Path, workers: str) -> None:
    conf = tmp_path / "conf"
    conf.write_text("usage_interval = 10\n")
    with (
        Node(extra=[f"--config={conf}", f"--worker-processes={workers}"]) as node,
        Client(node.http) as client,
    ):
        client.send(HALF)
        conf.write_text(f"client_header_timeout = {LIMIT_S}\n")
        node.send_signal(signal.SIGHUP)
        expect_408(client)
        conf.write_text("usage_interval = 10\n")
        node.send_signal(signal.SIGHUP)
        node.wait_for_log("HUP: applied: no client_header_timeout")
