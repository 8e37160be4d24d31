"""Expect: 100-continue before the body of an upload."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client
from tests.support.puts import (
    BAD_REQUEST,
    CHUNKED,
    FORBIDDEN,
    NO_STORAGE,
    NOT_FOUND,
    SERVER_ERROR,
    assert_created,
    assert_refused,
    begun_files,
    chunks,
    put_head,
)

if TYPE_CHECKING:
    from tests.support.daemon import Node

EXPECT = "Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("length", "body"),
    [("Content-Length: 5", b"hello"), (CHUNKED, chunks(b"hello", 2))],
    ids=["counted", "chunked"],
)
def test_client_waits_for_the_go_ahead(node: Node, target: str, length: str, body: bytes) -> None:
    with Client(node.http) as client:
        for _ in range(2):
            client.send(put_head(target, length, EXPECT))
            assert client.read_head() == CONTINUE
            client.expect_silence(0.02)
            assert_created(client.request(body))
        client.expect_silence(0.02)
    assert node.path(target).read_bytes() == b"hello"


def test_destination_is_open_before_the_go_ahead(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, "Content-Length: 5", EXPECT))
        client.read_head()
        assert len(begun_files(node, target)) == 1


@pytest.mark.parametrize("value", ["100-Continue", "100-CONTINUE", " 100-continue "])
def test_value_in_any_case(node: Node, target: str, value: str) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, "Content-Length: 5", f"expect:{value}"))
        assert client.read_head() == CONTINUE
        assert_created(client.request(b"hello"))


@pytest.mark.parametrize("begun", [b"h", b"hello"], ids=["first-byte", "whole"])
def test_no_go_ahead_once_the_body_has_begun(node: Node, target: str, begun: bytes) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, "Content-Length: 5", EXPECT) + begun)
        if len(begun) < 5:
            client.expect_silence()
            client.send(b"hello"[len(begun) :])
        assert_created(client.read_response())
    assert node.path(target).read_bytes() == b"hello"


def test_no_go_ahead_for_http_1_0(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, "Content-Length: 5", EXPECT, version="1.0"))
        client.expect_silence()
        assert_created(client.request(b"hello"), keep=False)


@pytest.mark.parametrize("value", ["", "x", "100-continued", "200-ok", "100"])
def test_other_expectation_is_ignored(node: Node, target: str, value: str) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, "Content-Length: 5", f"Expect: {value}"))
        client.expect_silence(0.05)
        assert_created(client.request(b"hello"))


@pytest.mark.parametrize(
    ("target", "fields", "status"),
    [
        ("/foo", ["Content-Length: 5"], BAD_REQUEST),
        ("/dev1/../f", ["Content-Length: 5"], FORBIDDEN),
        ("/dev666/f", ["Content-Length: 5"], NOT_FOUND),
        ("/dev1/plain/f", ["Content-Length: 5"], SERVER_ERROR),
        ("/dev1/f", [f"Content-Length: {2**63}"], NO_STORAGE),
        ("/dev1/f", ["Content-Length: x"], BAD_REQUEST),
        ("/dev1/f", ["Content-Length: 5", "Content-Range: bytes 0-5/*"], BAD_REQUEST),
        ("/dev1/f", ["Transfer-Encoding: gzip"], BAD_REQUEST),
    ],
)
def test_refusal_comes_instead_of_the_go_ahead(
    node: Node, target: str, fields: list[str], status: str
) -> None:
    node.write("/dev1/plain", b"no directory")
    assert_refused(node.http, put_head(target, *fields, EXPECT), status)
