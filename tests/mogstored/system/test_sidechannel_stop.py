"""The graceful stop as the sidechannel's clients see it, and `shutdown`."""

from __future__ import annotations

import hashlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.arrival import wait_until_taken
from tests.support.daemon import Node
from tests.support.sidechannel import Manager, manage
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = b"/dev1/f MD5=%b\r\n" % hashlib.md5(b"content").hexdigest().encode()


@pytest.fixture
def node() -> Iterator[Node]:
    """A node for each test, since each ends it."""
    with Node(mgmt=True) as node:
        node.write("/dev1/f", b"content")
        yield node


@pytest.mark.parametrize("command", [b"shutdown", b"shutdown graceful"])
def test_shutdown_ends_the_node_without_a_reply(
    node: Node, client: Manager, command: bytes
) -> None:
    with manage(node) as other:
        assert other.ask(b"") == b"\r\n"
        client.send(command + b"\r\n")
        client.read_eof()
        other.read_eof()
    assert node.wait() == 0


def test_commands_before_and_behind_shutdown_are_answered(node: Node, client: Manager) -> None:
    client.send(b"size /dev1/f\r\nshutdown\r\nMD5 /dev1/f fsck\r\n")
    assert client.read_to_eof() == b"/dev1/f 7\r\n" + OK
    assert node.wait() == 0


def test_shutdown_finishes_what_others_have_begun(node: Node, client: Manager) -> None:
    with manage(node) as other:
        other.send(b"MD5 /dev1/f")
        wait_until_taken(other)
        client.send(b"shutdown\r\n")
        client.read_eof()
        other.send(b"\r\n")
        assert other.read_to_eof() == OK
    assert node.wait() == 0


def test_idle_connections_are_closed(node: Node, client: Manager) -> None:
    with manage(node) as unused:
        # Accepted in turn, so the node has both.
        with manage(node) as later:
            assert later.ask(b"") == b"\r\n"
        assert client.ask(b"size /dev1/f") == b"/dev1/f 7\r\n"
        node.send_signal(signal.SIGTERM)
        client.read_eof()
        unused.read_eof()
    assert node.wait() == 0


@pytest.mark.parametrize("reason", [b"", b" fsck"], ids=["plain", "fsck"])
@pytest.mark.parametrize("cut", [1, 8, 12])
def test_partial_line_is_awaited_and_so_are_four_more(
    node: Node, client: Manager, reason: bytes, cut: int
) -> None:
    line = b"MD5 /dev1/f%b\r\n" % reason
    client.send(line[:cut])
    wait_until_taken(client)
    node.begin_stop(signal.SIGQUIT)
    client.send(line[cut:] + line * 4)
    assert client.read_to_eof() == OK * 5
    assert node.wait() == 0


def test_running_digest_is_finished(node: Node, client: Manager) -> None:
    size = 200 * 1024 * 1024
    os.truncate(node.write("/dev1/large", b""), size)
    assert client.ask(b"") == b"\r\n"
    before = node.process.num_fds()
    client.send(b"MD5 /dev1/large fsck\r\nsize /dev1/f\r\n")
    wait_until(lambda: node.process.num_fds() > before, "the file is open")
    node.begin_stop(signal.SIGQUIT)
    with node.path("/dev1/large").open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest().encode()
    assert client.read_to_eof() == b"/dev1/large MD5=%b\r\n/dev1/f 7\r\n" % digest
    assert node.wait() == 0


def test_waiting_digests_are_finished(node: Node) -> None:
    os.truncate(node.write("/dev1/large", b""), 32 * 1024 * 1024)
    digest = hashlib.md5(bytes(32 * 1024 * 1024)).hexdigest().encode()
    clients = [manage(node) for _ in range(4)]
    for client in clients:
        client.send(b"MD5 /dev1/large fsck\r\n" * 2)
        wait_until_taken(client)
    node.begin_stop(signal.SIGQUIT)
    for client in clients:
        assert client.read_to_eof() == b"/dev1/large MD5=%b\r\n" % digest * 2
        client.close()
    assert node.wait() == 0


def test_watchers_are_closed_at_once(node: Node, client: Manager) -> None:
    client.send(b"watch\n")
    client.read_block()
    node.send_signal(signal.SIGTERM)
    client.read_to_eof()
    assert node.wait() == 0
