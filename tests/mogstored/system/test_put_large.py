"""Uploads far larger than the memory the node may use for them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client
from tests.support.puts import CHUNKED, assert_created, chunk, md5_of, put_head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.daemon import Node

MIB = 1 << 20
# What one upload may add to the node's memory: buffers, not content.
GROWTH = 32 * MIB


@pytest.fixture
def large_target(node: Node, target: str) -> Iterator[str]:
    """A target whose file does not stay around."""
    yield target
    node.path(target).unlink(missing_ok=True)


def _stream(client: Client, node: Node, piece: bytes, count: int) -> int:
    """Send the piece so many times; return how far the node's memory grew meanwhile."""
    before = peak = node.process.memory_info().rss
    for number in range(count):
        client.send(piece)
        if number % 8 == 0:
            peak = max(peak, node.process.memory_info().rss)
    return peak - before


@pytest.mark.slow
@pytest.mark.parametrize("is_checked", [False, True], ids=["plain", "md5"])
def test_three_hundred_megabytes(node: Node, large_target: str, is_checked: bool) -> None:
    piece = bytes(range(256)) * (MIB // 256)
    fields = [f"Content-Length: {300 * MIB}"]
    if is_checked:
        fields.append(f"Content-MD5: {md5_of(piece * 300)}")
    with Client(node.http) as client:
        client.send(put_head(large_target, *fields))
        grown = _stream(client, node, piece, 300)
        assert_created(client.read_response())
    assert grown < GROWTH
    assert _digest(node.path(large_target)) == hashlib.sha1(piece * 300).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("size", [64 * MIB, 16 * 1024], ids=["one-chunk", "many-chunks"])
def test_sixty_four_megabytes_chunked(node: Node, large_target: str, size: int) -> None:
    total = 64 * MIB
    piece = b"x" * min(size, MIB)
    with Client(node.http) as client:
        client.send(put_head(large_target, CHUNKED))
        if size > MIB:
            client.send(b"%x\r\n" % size)
            grown = _stream(client, node, piece, total // MIB)
            client.send(b"\r\n")
        else:
            grown = _stream(client, node, chunk(piece), total // size)
        client.send(b"0\r\n\r\n")
        assert_created(client.read_response())
    assert grown < GROWTH
    assert node.path(large_target).stat().st_size == total


def test_client_that_writes_faster_than_it_is_read_from(node: Node, large_target: str) -> None:
    """Many uploads at once, each kept waiting in the middle, need no memory for their content."""
    count, half = 20, 4 * MIB
    clients = [Client(node.http) for _ in range(count)]
    try:
        before = node.process.memory_info().rss
        for number, client in enumerate(clients):
            client.send(put_head(f"{large_target}.{number}", f"Content-Length: {2 * half}"))
            client.send(b"x" * half)
        grown = node.process.memory_info().rss - before
        for client in clients:
            assert_created(client.request(b"x" * half))
    finally:
        for number, client in enumerate(clients):
            client.close()
            node.path(f"{large_target}.{number}").unlink(missing_ok=True)
    assert grown < GROWTH


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
