"""What readers see while a file is uploaded and replaced."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.support.arrival import wait_until_taken
from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.puts import assert_created, put, put_head, wait_until_alone

MIB = 1 << 20


def _get(target: str, method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\n\r\n".encode()


def test_old_file_is_read_until_the_new_one_is_complete(node: Node, target: str) -> None:
    node.write(target, b"old")
    with Client(node.http) as writer, Client(node.http) as reader:
        writer.send(put_head(target, "Content-Length: 3") + b"ne")
        wait_until_taken(writer)
        assert reader.request(_get(target)).body == b"old"
        assert_created(writer.request(b"w"))
        assert reader.request(_get(target)).body == b"new"


def test_open_file_keeps_its_content(node: Node, target: str) -> None:
    with node.write(target, b"old").open("rb") as held, Client(node.http) as client:
        assert_created(client.request(put(target, b"new")))
        assert held.read() == b"old"


def test_download_in_progress_gets_the_old_file_to_its_end(node: Node, target: str) -> None:
    # More than the sockets in between can hold.
    size = 24 * MIB
    node.write(target, b"o" * size)
    with Client(node.http) as reader, Client(node.http) as writer:
        reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        reader.send(_get(target))
        assert b"\r\n\r\n" in reader.read_head()
        assert_created(writer.request(put(target, b"n" * size)))
        assert reader.read_exactly(size) == b"o" * size
        assert reader.request(_get(target)).body == b"n" * size


def test_aborted_replacement_changes_nothing_for_readers(node: Node, target: str) -> None:
    node.write(target, b"old")
    with Client(node.http) as reader:
        with Client(node.http) as writer:
            writer.send(put_head(target, "Content-Length: 100") + b"new")
            writer.sock.shutdown(socket.SHUT_WR)
            writer.read_eof()
        assert reader.request(_get(target)).body == b"old"
    wait_until_alone(node, target)


def test_every_connection_sees_a_replaced_file_at_once(node: Node, target: str) -> None:
    with ExitStack() as stack:
        _expect_no_stale_answer(node, target, stack, clients=6, rounds=20)


def test_every_worker_process_sees_a_replaced_file_at_once() -> None:
    if "--worker-processes" not in _help():
        pytest.skip("this node has no worker processes")
    with Node(extra=["--worker-processes", "2"]) as node, ExitStack() as stack:
        _expect_no_stale_answer(node, "/dev1/file", stack, clients=12, rounds=20)


def _help() -> str:
    command = [sys.executable, "-P", "-m", "mogstored", "--help"]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout


def _expect_no_stale_answer(
    node: Node, target: str, stack: ExitStack, *, clients: int, rounds: int
) -> None:
    connected = [stack.enter_context(Client(node.http)) for _ in range(clients)]
    for number in range(rounds):
        body = b"%d" % number * (number + 1)
        writer = connected[number % clients]
        assert_created(writer.request(put(target, body)))
        for client in connected:
            head = client.request(_get(target, "HEAD"), head=True)
            assert head.header("Content-Length") == str(len(body))
            assert client.request(_get(target)).body == body
