"""Many clients at once, most of them short-lived: all are answered, nothing is left behind."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, ask, compose
from tests.support.sockets import descriptor_count
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = 8
ROUNDS = 100


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node() as node:
        node.write("/dev1/file", b"found")
        node.write("/dev2/file", b"x" * 100_000)
        yield node


def test_every_short_connection_is_answered(node: Node) -> None:
    """The descriptor of a connection that ends is given to the next one within microseconds."""
    request = compose("GET", "/dev1/file", version="1.0")

    def come_and_go(_: int) -> list[bytes]:
        return [ask(node.http, request).body for _ in range(ROUNDS)]

    with ThreadPoolExecutor(THREADS) as executor:
        for bodies in executor.map(come_and_go, range(THREADS)):
            assert bodies == [b"found"] * ROUNDS


def test_clients_that_leave_at_any_moment_leave_nothing_behind(node: Node) -> None:
    request = compose("GET", "/dev2/file")
    assert ask(node.http, compose("GET", "/", version="1.0")).status == 200
    before = descriptor_count(node.pid)

    def leave_early(thread: int) -> None:
        for number in range(ROUNDS):
            with Client(node.http) as client:
                if number % 4:
                    client.send(request[: (thread * number) % len(request) + 1])
                if number % 4 == 2:
                    client.send(request)

    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(leave_early, range(THREADS)))
    wait_until(lambda: descriptor_count(node.pid) <= before, "all descriptors are closed")
    assert ask(node.http, compose("GET", "/dev1/file")).body == b"found"


def test_each_client_gets_its_own_answers(node: Node) -> None:
    """Busy connections side by side, each with another file and another range."""

    def converse(thread: int) -> None:
        content = bytes([thread]) * 20_000
        node.write(f"/dev1/own{thread}", content)
        with Client(node.http) as client:
            for number in range(ROUNDS):
                part = f"Range: bytes={number}-{number * thread + number}"
                answer = client.request(compose("GET", f"/dev1/own{thread}", part))
                assert answer.body == content[number : number * thread + number + 1]

    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(converse, range(1, THREADS + 1)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from Linux's /proc")
@pytest.mark.skipif(
    os.environ.get("MOGPOLL_BACKEND") == "kqueue", reason="libkqueue opens some of its own"
)
def test_every_descriptor_is_closed_on_exec(node: Node) -> None:
    o_cloexec = 0o2000000
    with Client(node.http) as client:
        client.send(compose("GET", "/dev2/file"))
        client.read_response()
        kept = {}
        for entry in Path(f"/proc/{node.pid}/fdinfo").iterdir():
            flags = int(entry.read_text().split("flags:")[1].split()[0], 8)
            if int(entry.name) > 2 and not flags & o_cloexec:
                kept[entry.name] = str((entry.parent.parent / "fd" / entry.name).readlink())
        assert kept == {}
