"""The requests of a tracker: monitor, upload, replicate, check, delete."""

from __future__ import annotations

from base64 import b64encode
from hashlib import md5
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST = ("Keep-Alive: 300", "Connection: Keep-Alive, keep-alive", "Host: 127.0.0.1:7500")
LATER = ("Connection: keep-alive", "Host: 127.0.0.1:7500")
FID = "/dev1/0/000/148/0000148056.fid"
RECORD = b"total: 106390912\nuse: 23%\nused: 23669648\n"


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(httpget=True) as node:
        yield node


def wrong_md5_of(content: bytes) -> str:
    return b64encode(md5(content + b"x", usedforsecurity=False).digest()).decode()


def test_round_of_the_monitor(node: Node) -> None:
    """The directory of the write test is not there at first, and MKCOL does not make it."""
    node.write("/dev1/usage", RECORD)
    assert node.httpget is not None
    path = "/dev1/test-write/test-write-42"
    body = b"time=1795466436 rand=42"
    with Client(node.http) as main, Client(node.httpget) as reader:
        usage = reader.request(compose("GET", "/dev1/usage", *FIRST, version="1.0"))
        assert (usage.status, usage.body, usage.keeps) == (200, RECORD, True)
        mkcol = main.request(compose("MKCOL", "/dev1/test-write/", *FIRST, "Content-Length: 0"))
        assert (mkcol.status, mkcol.keeps) == (400, True)
        put = compose("PUT", path, *LATER, f"Content-Length: {len(body)}") + body
        for _ in range(2):
            assert main.request(put).status == 201
            assert reader.request(compose("GET", path, *LATER, version="1.0")).body == body
        probe = compose(
            "PUT",
            "/dev1/test-write/test-md5",
            *LATER,
            f"Content-MD5: {wrong_md5_of(b'.')}",
            "Content-Length: 1",
        )
        refused = main.request(probe + b".")
        assert (refused.status, refused.keeps) == (400, True)
        assert main.request(put).status == 201
    assert [path.name for path in node.path("/dev1/test-write").iterdir()] == ["test-write-42"]


@pytest.mark.parametrize("content", [b"", b"x" * 1_500_000], ids=["empty", "1.5 MB"])
def test_life_of_a_file(node: Node, content: bytes) -> None:
    """Upload by a client, the tracker's look at its size, replication, deletion."""
    copy = FID.replace("dev1", "dev2")
    with Client(node.http) as client:
        client.send(compose("PUT", FID, f"Content-length: {len(content)}", version="1.0"))
        assert client.request(content).status == 201
        client.read_eof()
    with Client(node.http) as pool:
        head = pool.request(compose("HEAD", FID, *FIRST), head=True)
        assert (head.status, head.header("Content-Length")) == (200, str(len(content)))
        with Client(node.http) as source, Client(node.http) as target:
            keep = "Connection: keep-alive"
            got = source.request(compose("GET", FID, keep, version="1.0"))
            assert (got.body, got.header("Connection")) == (content, "keep-alive")
            length = f"Content-length: {len(content)}"
            put = target.request(compose("PUT", copy, keep, length, version="1.0") + got.body)
            assert (put.status, put.header("Connection")) == (201, "keep-alive")
        assert node.path(copy).read_bytes() == content
        for path in (FID, copy):
            assert pool.request(compose("DELETE", path, *LATER)).status == 204
            assert pool.request(compose("DELETE", path, *LATER)).status == 404
            assert pool.request(compose("HEAD", path, *LATER), head=True).status == 404
