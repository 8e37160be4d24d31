"""Clients of a device that hangs hold every descriptor, and others need one."""

from __future__ import annotations

import select
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.backend import OVER_LIBKQUEUE
from tests.support.http import Client, compose
from tests.support.puts import put
from tests.support.slow_disk import node_with_slow_disk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.daemon import Node

LIMIT = 64
CONTENT = b"content"


def is_served(node: Node) -> bool:
    with Client(node.http) as other:
        return other.request(compose("GET", "/dev1/file")).body == CONTENT


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_they_are_expired_and_the_other_device_is_served(tmp_path: Path, method: str) -> None:
    if OVER_LIBKQUEUE:
        pytest.skip("libkqueue needs descriptors to wait for a descriptor")
    with ExitStack() as stack:
        rig = node_with_slow_disk(tmp_path / "disk", nofile=LIMIT, maxconns=500)
        node, disk = stack.enter_context(rig)
        node.write("/dev1/file", CONTENT)
        node.write("/dev2/file", CONTENT)
        disk.hang("open", "create")
        clients = []
        for number in range(2 * LIMIT):
            target = f"/dev2/{number}" if method == "PUT" else "/dev2/file"
            client = stack.enter_context(Client(node.http))
            client.send(put(target, CONTENT) if method == "PUT" else compose(method, target))
            clients.append(client)
        disk.wait_until_held(1)
        node.wait_for_log(r"accept failed: Too many open files \(EMFILE\)")
        # Clients in the backlog come first; they hang as well.
        wait_until(partial(is_served, node), "the other device is served")
        node.wait_for_log(r"expired [0-9]+ idle connections \(>5 sec\)")
        # The line is written when they are chosen; workers close them.
        wait_until(lambda: any(map(_has_ended, clients)), "some have ended")
        ended = [client for client in clients if _has_ended(client)]
        # Requests that hold a slot are at the disk, and are answered.
        disk.release()
        answered = 0
        for client in clients:
            with suppress(AssertionError):
                answered += client.read_response().status in {200, 201}
        assert 1 <= answered <= len(clients) - len(ended)


def _has_ended(client: Client) -> bool:
    """See the end also behind an answer: some were refused, for want of a descriptor."""
    poll = select.poll()
    poll.register(client.sock, select.POLLRDHUP)
    return bool(poll.poll(0))
