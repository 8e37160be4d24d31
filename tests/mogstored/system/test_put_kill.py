"""The node is killed in the middle of uploads and started again on the same devices."""

from __future__ import annotations

from contextlib import ExitStack

from tests.support.arrival import wait_until_taken
from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.puts import (
    CHUNKED,
    assert_created,
    chunk,
    put,
    put_head,
)

COUNT = 20


def _begin_uploads(node: Node, stack: ExitStack) -> None:
    """Leave uploads of both kinds unfinished, to new names and to `oldN`."""
    for number in range(COUNT):
        name = f"old{number}" if number % 2 else f"new{number}"
        client = stack.enter_context(Client(node.http))
        if number % 4 < 2:
            client.send(put_head(f"/dev1/{name}", "Content-Length: 100") + b"partial")
        else:
            client.send(put_head(f"/dev1/{name}", CHUNKED) + chunk(b"partial"))
        wait_until_taken(client)


def test_no_partial_file_has_a_final_name() -> None:
    with Node(checked=False) as killed, ExitStack() as stack:
        for number in range(1, COUNT, 2):
            killed.write(f"/dev1/old{number}", b"old")
        with Client(killed.http) as client:
            assert_created(client.request(put("/dev1/complete", b"complete")))
        _begin_uploads(killed, stack)
        killed.kill()
        final = {
            path.name: path.read_bytes()
            for path in (killed.docroot / "dev1").iterdir()
            if path.suffix != ".tmp"
        }
    expected = {f"old{number}": b"old" for number in range(1, COUNT, 2)}
    assert final == {**expected, "complete": b"complete"}


def test_node_started_again_takes_the_uploads() -> None:
    with Node(checked=False) as killed, ExitStack() as stack:
        killed.write("/dev1/old1", b"old")
        _begin_uploads(killed, stack)
        killed.kill()
        successor = Node(devices=())
        (successor.docroot / "dev1").symlink_to(killed.docroot / "dev1")
        with successor, Client(successor.http) as client:
            assert client.request(b"GET /dev1/new0 HTTP/1.1\r\n\r\n").status == 404
            assert client.request(b"GET /dev1/old1 HTTP/1.1\r\n\r\n").body == b"old"
            for name in ("new0", "old1"):
                assert_created(client.request(put(f"/dev1/{name}", b"again")))
                assert successor.path(f"/dev1/{name}").read_bytes() == b"again"
