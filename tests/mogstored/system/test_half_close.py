"""Clients that shut down their sending side, as `nc -N` does, and wait for their answers."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.puts import put, put_head
from tests.support.sidechannel import manage
from tests.support.sockets import reset
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.bad_disk.control import SlowDisk

MIB = 1024 * 1024
SLOTS = 10
CONTENT = b"content"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(mgmt=True) as node:
        yield node


@pytest.fixture
def digest(node: Node) -> bytes:
    """The digest of a file that takes many slices."""
    path = node.write("/dev1/large", b"beginning")
    os.truncate(path, 60 * MIB)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest().encode()


def send_last(client: Client, data: bytes) -> None:
    client.send(data)
    client.sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("reason", [b"", b" fsck"], ids=["plain", "fsck"])
def test_digest_of_a_large_file(node: Node, digest: bytes, reason: bytes) -> None:
    with manage(node) as client:
        send_last(client, b"MD5 /dev1/large%b\nsize /dev1/large\nMD5 /dev1/no\n" % reason)
        assert client.read_to_eof() == (
            b"/dev1/large MD5=%b\r\n/dev1/large %d\r\n/dev1/no MD5=-1\r\n" % (digest, 60 * MIB)
        )


def test_digests_that_wait_for_their_turn(node: Node, digest: bytes) -> None:
    clients = [manage(node) for _ in range(5)]
    for client in clients:
        send_last(client, b"MD5 /dev1/large fsck\n" * 2)
    for client in clients:
        with client:
            assert client.read_to_eof() == b"/dev1/large MD5=%b\r\n" % digest * 2


def test_digest_that_fails_behind_its_beginning(rig: tuple[Node, SlowDisk]) -> None:
    """The beginning of the reply has been sent, to find out whether the client is there."""
    node, disk = rig
    os.truncate(node.write("/dev2/large", b""), 60 * MIB)
    disk.delay(0.02, "read")
    with manage(node) as client:
        send_last(client, b"MD5 /dev2/large\n")
        assert client.recv_once() == b"/dev2/large MD5="
        disk.fail(errno.EIO, "read")
        assert client.read_to_eof() == b"-1\r\n"


@pytest.mark.parametrize("reason", [b"", b" fsck"], ids=["plain", "fsck"])
@pytest.mark.parametrize("end", ["close", "reset", "half-close-reset"])
def test_endless_digest_of_a_client_that_has_gone(node: Node, reason: bytes, end: str) -> None:
    """It is given up, and the file is closed."""
    path = node.write("/dev1/endless", b"")
    os.truncate(path, 2**40)

    def is_read() -> bool:
        return any(it.path == str(path) for it in node.process.open_files())

    client = manage(node)
    client.send(b"MD5 /dev1/endless%b\n" % reason)
    wait_until(is_read, "the file is read")
    if end == "half-close-reset":
        client.sock.shutdown(socket.SHUT_WR)
    if end == "close":
        client.close()
    else:
        reset(client.sock)
    wait_until(lambda: not is_read(), "the digest is given up")


def test_requests_that_wait_for_a_disk(rig: tuple[Node, SlowDisk]) -> None:
    """For longer than the watchdog needs to give up clients that have gone."""
    node, disk = rig
    node.write("/dev2/file", CONTENT)
    disk.hang()
    requests = [compose("GET", "/dev2/file")] * (2 * SLOTS)
    requests += [put("/dev2/new", CONTENT), compose("DELETE", "/dev2/none")]
    clients = [Client(node.http) for _ in requests]
    expecting, gone, digests = Client(node.http), Client(node.http), manage(node)
    for client, request in zip(clients, requests, strict=True):
        send_last(client, request)
    disk.wait_until_held(SLOTS)
    send_last(expecting, put_head("/dev2/none", "Content-Length: 5", "Expect: 100-continue"))
    send_last(digests, b"MD5 /dev2/file\nsize /dev2/file\n")
    gone.send(compose("GET", "/dev2/file"))
    reset(gone.sock)
    node.wait_for_log("dev2: 1 requests were given up by their clients")
    disk.release()
    statuses = []
    for client in clients:
        with client:
            # Sent ahead of the answer, to see whether the client is there.
            while (status := client.read_response().status) == 100:
                pass
            statuses.append(status)
            client.read_eof()
    assert statuses == [200] * (2 * SLOTS) + [201, 404]
    with expecting:
        # Sent ahead or not, it comes once.
        assert expecting.read_to_eof() == b"HTTP/1.1 100 Continue\r\n\r\n"
    with digests:
        line = b"/dev2/file MD5=9a0364b9e99bb480dd25e1f0284c8555\r\n/dev2/file 7\r\n"
        assert digests.read_to_eof() == line
