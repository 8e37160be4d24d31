"""A disk that hangs below several workers: they share out how many threads it may hold."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mogstored.devices.shares import most_in_each
from tests.support.http import compose
from tests.support.processes import clients_of_all
from tests.support.puts import put
from tests.support.slow_disk import node_with_slow_disk
from tests.support.tracker import AT_ONCE_S
from tests.support.waiting import promptly

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.http import Client

PROCESSES = 4
CONTENT = b"content"
STORE = put("/dev1/file", CONTENT), 201
READ = compose("GET", "/dev1/file"), 200
REMOVE = compose("DELETE", "/dev1/file"), 204
# More for each worker than the device may hold of its threads.
ROUNDS = 3 * most_in_each(PROCESSES)


def assert_served(client: Client, exchanges: Sequence[tuple[bytes, int]]) -> None:
    for request, status in exchanges:
        assert client.request(request).status == status


@pytest.mark.parametrize("options", [[], ["--aio-threads=20"]], ids=["default", "more threads"])
def test_bound_does_not_multiply_and_others_are_served(tmp_path: Path, options: list[str]) -> None:
    """With more threads than the default, each process may hold its even share of them."""
    extra = [f"--worker-processes={PROCESSES}", *options]
    in_each = most_in_each(PROCESSES) if not options else 20 // 2
    rounds = ROUNDS if not options else 2 * in_each
    with ExitStack() as stack:
        node, disk = stack.enter_context(node_with_slow_disk(tmp_path / "disk", extra=extra))
        names = [f"/dev2/file{number}" for number in range(rounds * PROCESSES)]
        for name in names:
            node.write(name, CONTENT)
        crowd = [
            client
            for _ in range(rounds)
            for client in stack.enter_context(clients_of_all(node)).values()
        ]
        others = stack.enter_context(clients_of_all(node))
        disk.hang("open")
        for client, name in zip(crowd, names, strict=True):
            client.send(compose("GET", name))
        disk.wait_until_held(in_each * PROCESSES, "open")
        for other in others.values():
            for exchanges in ([STORE], [READ], [STORE, REMOVE]):
                promptly(partial(assert_served, other, exchanges), AT_ONCE_S)
        assert disk.held()["open"] == in_each * PROCESSES
        disk.release()
        for client in crowd:
            assert client.read_response().body == CONTENT
