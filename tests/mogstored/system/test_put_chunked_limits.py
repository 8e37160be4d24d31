"""Chunked uploads at and over the limits: sizes, extensions, trailers, memory."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.arrival import send_pieces, wait_until_taken
from tests.support.http import Client
from tests.support.puts import (
    BAD_REQUEST,
    CHUNKED,
    NO_STORAGE,
    assert_created,
    assert_refusal,
    assert_refused,
    put_chunked,
    put_head,
    wait_until_begun,
    wait_until_untouched,
)

if TYPE_CHECKING:
    from tests.support.daemon import Node

MIB = 1 << 20
EXTENSION_BYTES = 4_600_000
TRAILER_LIMIT = 8 * 1024


@pytest.mark.parametrize(
    "digits",
    [
        b"8000000000000000",
        b"ffffffffffffffff",
        b"FFFFFFFFFFFFFFFF",
        b"10000000000000000",
        b"10000000000000005",
        b"12345678901234567890",
        b"fffffffffffffffffffff",
        b"00008000000000000000",
        b"1" + b"0" * 1000,
    ],
)
@pytest.mark.parametrize("stored", [b"", b"3\r\nabc\r\n"], ids=["first", "second"])
def test_size_over_the_largest_number(
    node: Node, target: str, digits: bytes, stored: bytes
) -> None:
    request = put_chunked(target, stored + digits + b"\r\nhello\r\n0\r\n\r\n")
    assert_refused(node.http, request, NO_STORAGE)
    wait_until_untouched(node, target)


def test_largest_number_is_a_legal_size(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.send(put_chunked(target, b"7fffffffffffffff\r\nhello"))
        wait_until_begun(node, target)
        wait_until_taken(client)
        client.expect_silence()
    wait_until_untouched(node, target)


@pytest.mark.parametrize("where", ["chunk", "last"])
def test_extension_of_several_megabytes(node: Node, target: str, where: str) -> None:
    extension = b";" + b"x" * EXTENSION_BYTES
    first, last = (extension, b"") if where == "chunk" else (b"", extension)
    coded = b"5" + first + b"\r\nhello\r\n0" + last + b"\r\n\r\n"
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, coded)))
    assert node.path(target).read_bytes() == b"hello"


def test_extensions_are_not_kept_in_memory(node: Node, target: str) -> None:
    count = 8
    piece = b"x" * (EXTENSION_BYTES // 10)
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(node.http)) for _ in range(count)]
        for number, client in enumerate(clients):
            send_pieces(client, [put_head(f"{target}.{number}", CHUNKED), b"5;"])
        before = node.process.memory_info().rss
        for client in clients:
            send_pieces(client, [piece] * 10)
        grown = node.process.memory_info().rss - before
        for client in clients:
            assert_created(client.request(b"\r\nhello\r\n0\r\n\r\n"))
    assert grown < EXTENSION_BYTES * count // 3


@pytest.mark.parametrize("lines", [1, 100])
def test_trailer_just_below_its_limit(node: Node, target: str, lines: int) -> None:
    trailer = _trailer(TRAILER_LIMIT - 100, lines)
    with Client(node.http) as client:
        coded = b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"
        assert_created(client.request(put_chunked(target, coded)))
    assert node.path(target).read_bytes() == b"hello"


@pytest.mark.parametrize("lines", [1, 100])
def test_trailer_over_its_limit(node: Node, target: str, lines: int) -> None:
    coded = b"5\r\nhello\r\n0\r\n" + _trailer(TRAILER_LIMIT + 100, lines) + b"\r\n"
    assert_refused(node.http, put_chunked(target, coded), BAD_REQUEST)
    wait_until_untouched(node, target)


@pytest.mark.parametrize("line", [b"X-Endless: ", b"X" * 100, b"X: \r\n" * 200])
def test_trailer_without_end(node: Node, target: str, line: bytes) -> None:
    with Client(node.http) as client:
        client.send(put_chunked(target, b"5\r\nhello\r\n0\r\n" + line))
        client.send(line[:1] * (2 * TRAILER_LIMIT) if b"\r" not in line else line * 20)
        assert_refusal(client, BAD_REQUEST)
    wait_until_untouched(node, target)


def test_many_small_chunks(node: Node, target: str) -> None:
    count = 20_000
    with Client(node.http) as client:
        coded = b"1;e\r\nx\r\n" * count + b"0\r\n\r\n"
        assert_created(client.request(put_chunked(target, coded)))
    assert node.path(target).read_bytes() == b"x" * count


def _trailer(size: int, lines: int) -> bytes:
    """Return `lines` trailer lines that have `size` bytes together."""
    pieces = []
    for number in range(lines):
        share = size // lines + (size % lines if number == 0 else 0)
        pieces.append(b"X-%03d: " % number + b"v" * (share - 9) + b"\r\n")
    return b"".join(pieces)
