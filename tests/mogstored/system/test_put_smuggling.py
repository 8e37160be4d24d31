"""Bytes inside a body that look like a request never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client
from tests.support.puts import (
    BAD_REQUEST,
    FORBIDDEN,
    assert_created,
    assert_refused,
    chunks,
    put,
    put_chunked,
    put_head,
    wait_until_untouched,
)

if TYPE_CHECKING:
    from tests.support.daemon import Node

HIDDEN = "/dev2/hidden"
INNER = put(HIDDEN, b"smuggled")


@pytest.mark.parametrize(
    "outer",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: 5", "Content-Length: 0"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding\x00: chunked"],
        ["X: y\nContent-Length: 0"],
        ["X: y\rContent-Length: 0"],
        ["Content-Length: 0\n"],
    ],
)
def test_ambiguous_length_is_refused_with_all_that_follows(
    node: Node, target: str, outer: list[str]
) -> None:
    assert_refused(node.http, put_head(target, *outer) + b"0\r\n\r\n" + INNER, BAD_REQUEST)
    assert not node.path(HIDDEN).exists()
    assert not node.path(target).exists()


@pytest.mark.parametrize(
    "bad",
    [
        put("/foo", INNER),
        put_chunked("/foo", chunks(INNER, 1000)),
        put_head("/dev1/x", "Content-Range: nonsense", f"Content-Length: {len(INNER)}") + INNER,
        put_chunked("/dev1/x", b"zz\r\n" + INNER),
    ],
)
def test_body_of_a_refused_upload_is_not_obeyed(node: Node, bad: bytes) -> None:
    assert_refused(node.http, bad, BAD_REQUEST)
    assert not node.path(HIDDEN).exists()


def test_body_of_a_forbidden_upload_is_not_obeyed(node: Node) -> None:
    assert_refused(node.http, put("/dev1/../x", INNER), FORBIDDEN)
    assert not node.path(HIDDEN).exists()


def test_body_is_stored_and_not_obeyed(node: Node, target: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put(target, INNER)))
        assert_created(client.request(put_chunked(target, chunks(INNER, 7))))
        client.expect_silence()
    assert node.path(target).read_bytes() == INNER
    assert not node.path(HIDDEN).exists()


def test_trailer_cannot_change_where_the_body_ends(node: Node, target: str) -> None:
    coded = b"2\r\nok\r\n0\r\nContent-Length: %d\r\n\r\n" % len(INNER)
    assert_refused(node.http, put_chunked(target, coded) + INNER, BAD_REQUEST)
    assert not node.path(HIDDEN).exists()
    wait_until_untouched(node, target)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "MKCOL"])
@pytest.mark.parametrize("coded", [False, True], ids=["counted", "chunked"])
def test_body_of_another_method_is_not_obeyed(
    node: Node, target: str, method: str, coded: bool
) -> None:
    if coded:
        field, body = "Transfer-Encoding: chunked", chunks(INNER, 20)
    else:
        field, body = f"Content-Length: {len(INNER)}", INNER
    request = f"{method} {target} HTTP/1.1\r\n{field}\r\n\r\n".encode() + body
    wanted = 400 if method == "MKCOL" else 404
    with Client(node.http) as client:
        first = client.request(request, head=method == "HEAD")
        assert first.status == wanted
        if first.keeps:
            assert client.request(b"GET / HTTP/1.1\r\n\r\n").status == 200
            client.expect_silence()
    assert not node.path(HIDDEN).exists()
