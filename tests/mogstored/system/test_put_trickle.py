"""Uploads that arrive one byte at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.arrival import send_pieces
from tests.support.http import Client
from tests.support.puts import (
    BAD_REQUEST,
    assert_created,
    assert_short,
    chunks,
    md5_of,
    put,
    put_chunked,
    put_head,
)

if TYPE_CHECKING:
    from tests.support.daemon import Node

BODY = b"drop by drop"
DIGEST = f"Content-MD5: {md5_of(BODY)}"


def _drops(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_upload_with_a_length(node: Node, target: str) -> None:
    with Client(node.http) as client:
        send_pieces(client, _drops(put(target, BODY, DIGEST)))
        assert_created(client.read_response())
    assert node.path(target).read_bytes() == BODY


def test_chunked_upload_with_a_trailer(node: Node, target: str) -> None:
    coded = chunks(BODY, 5, "X-Other: v", DIGEST).replace(b"\r\n", b" ;e=x\r\n", 1)
    request = put_chunked(target, coded, "Trailer: Content-MD5")
    with Client(node.http) as client:
        send_pieces(client, _drops(request))
        assert_created(client.read_response())
    assert node.path(target).read_bytes() == BODY


def test_two_uploads_behind_each_other(node: Node, target: str) -> None:
    request = put_chunked(f"{target}.a", chunks(b"ab", 1)) + put(f"{target}.b", b"cd")
    with Client(node.http) as client:
        send_pieces(client, _drops(request))
        assert_created(client.read_response())
        assert_created(client.read_response())
        client.expect_silence(0.02)
    assert node.path(f"{target}.a").read_bytes() == b"ab"
    assert node.path(f"{target}.b").read_bytes() == b"cd"


def test_part_of_a_file(node: Node, target: str) -> None:
    request = put(target, b"abc", "Content-Range: bytes 2-4/*")
    with Client(node.http) as client:
        send_pieces(client, _drops(request))
        assert_created(client.read_response())
    assert node.path(target).read_bytes() == b"\0\0abc"


def test_wrong_digest(node: Node, target: str) -> None:
    wrong = f"Content-MD5: {md5_of(b'another')}"
    with Client(node.http) as client:
        client.send(put_head(target, "Content-Length: 12", wrong))
        send_pieces(client, _drops(BODY))
        assert_short(client.read_response(), BAD_REQUEST, keep=True)
    assert not node.path(target).exists()
