"""`server aio_threads`: an empty line, and threads that the system can count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.sidechannel import Manager, manage
from tests.support.sockets import thread_count
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(mgmt=True) as node:
        yield node


def test_threads_become_fewer_and_more(node: Node, client: Manager) -> None:
    # The first connection may have started a helper thread, which stays.
    assert client.ask(b"") == b"\r\n"
    before = thread_count(node.pid)
    assert client.ask(b"server aio_threads = 1") == b"\r\n"
    node.wait_for_log(r"\]: server aio_threads=1$")
    wait_until(lambda: thread_count(node.pid) == before - 19, "20 threads have become 1")
    assert client.ask(b"SERVER AIO_THREADS=100") == b"\r\n"
    wait_until(lambda: thread_count(node.pid) == before + 80, "1 thread has become 100")
    assert client.ask(b"size /dev1/no") == b"/dev1/no -1\r\n"


@pytest.mark.parametrize("number", [b"0", b"101", b"99999999999999999999"])
def test_other_numbers_are_refused(node: Node, client: Manager, number: bytes) -> None:
    refusal = b"ERROR: aio_threads must be 1 to 100\r\n"
    assert client.ask(b"server aio_threads = " + number) == refusal
    assert client.ask(b"server aio_threads = 7") == b"\r\n"
    node.wait_for_log(r"aio_threads=7$")
    logged = [line for line in node.stderr_lines() if "aio_threads" in line]
    assert len(logged) == 1


def test_node_serves_with_one_thread(node: Node, client: Manager) -> None:
    client.ask(b"server aio_threads = 1")
    node.write("/dev1/f", b"content")
    with manage(node) as other:
        other.send(b"MD5 /dev1/f fsck\r\n" * 20)
        assert client.ask(b"size /dev1/f") == b"/dev1/f 7\r\n"
        assert len(set(other.read_lines(20))) == 1
