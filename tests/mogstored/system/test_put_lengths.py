"""Content-Length of an upload: its syntax, its limit, its agreement with the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client
from tests.support.puts import (
    BAD_REQUEST,
    CHUNKED,
    NO_STORAGE,
    assert_created,
    assert_refused,
    chunks,
    put,
    put_head,
    wait_until_untouched,
)

if TYPE_CHECKING:
    from tests.support.daemon import Node


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length:5",
        "Content-Length:  5",
        "Content-Length: 5  ",
        "Content-Length: \t5\t",
        "Content-length: 5",
        "CONTENT-LENGTH: 5",
        "content-length: 5",
        "Content-Length: 0005",
        "Content-Length: 00000000000000000000000000000005",
        # A server may also refuse these two (RFC 9112 sections 5.2 and 6.3); older nodes do not.
        "Content-Length:\r\n 5",
        "Content-Length: 5\r\nContent-Length: 5",
    ],
)
def test_legal_forms(node: Node, target: str, line: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put_head(target, line) + b"hello"))
        client.expect_silence(0.02)
    assert node.path(target).read_bytes() == b"hello"


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length:",
        "Content-Length:  ",
        "Content-Length: abc",
        "Content-Length: -1",
        "Content-Length: -0",
        "Content-Length: +5",
        "Content-Length: 5 5",
        "Content-Length: 5,5",
        "Content-Length: 5, 5",
        "Content-Length: 5;",
        "Content-Length: 5x",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length: 5e0",
        "Content-Length: 1_0",
        "Content-Length: \xb2",
        "Content-Length: 5\x00",
        "Content-Length: \x0b5",
        "Content-Length : 5",
        "Content-Length\t: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: abc",
        "Content-Length 5",
        "Content-Length: 5\r\n 5",
    ],
)
def test_illegal_forms(node: Node, target: str, line: str) -> None:
    assert_refused(node.http, put_head(target, line) + b"hello", BAD_REQUEST)
    wait_until_untouched(node, target)


@pytest.mark.parametrize(
    "length",
    [
        str(2**63),
        str(2**63 + 5),
        str(2**64 - 1),
        str(2**64),
        str(2**64 + 5),
        "9" * 100,
        "0" * 30 + str(2**63),
    ],
)
def test_length_over_the_largest_number(node: Node, target: str, length: str) -> None:
    request = put_head(target, f"Content-Length: {length}") + b"hello"
    assert_refused(node.http, request, NO_STORAGE)
    wait_until_untouched(node, target)


@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD", "DELETE", "MKCOL"])
def test_length_over_the_largest_number_with_any_method(node: Node, method: str) -> None:
    request = f"{method} /dev1/f HTTP/1.1\r\nContent-Length: {2**63}\r\n\r\n".encode()
    assert_refused(node.http, request, NO_STORAGE)


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Length: 5", CHUNKED],
        [CHUNKED, "Content-Length: 5"],
        ["Content-Length: 0", CHUNKED],
        ["Content-Length: 5", "Transfer-Encoding:\r\n chunked"],
    ],
)
def test_length_and_chunks_together(node: Node, target: str, fields: list[str]) -> None:
    request = put_head(target, *fields) + chunks(b"hello", 5)
    assert_refused(node.http, request, BAD_REQUEST)
    wait_until_untouched(node, target)


def test_body_ends_where_its_length_says(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, "Content-Length: 5") + b"hello" + b"GET / HTTP/1.0\r\n\r\n")
        assert_created(client.read_response())
        assert client.read_response().status == 200
        client.read_eof()
    assert node.path(target).read_bytes() == b"hello"


def test_body_of_many_reads(node: Node, target: str) -> None:
    body = bytes(range(256)) * 20_000
    with Client(node.http) as client:
        assert_created(client.request(put(target, body)))
        assert_created(client.request(put(target, body[:-1])))
    assert node.path(target).read_bytes() == body[:-1]
