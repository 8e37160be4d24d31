"""The grammar of a chunked upload: what is accepted, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.arrival import send_pieces
from tests.support.http import Client
from tests.support.puts import (
    BAD_REQUEST,
    CHUNKED,
    NOT_FOUND,
    assert_created,
    assert_refusal,
    assert_refused,
    chunks,
    put_chunked,
    put_head,
    wait_until_alone,
    wait_until_untouched,
)

if TYPE_CHECKING:
    from tests.support.daemon import Node

LONG = bytes(range(256)) * 300


@pytest.mark.parametrize("size", [1, 255, 4096, 16384, len(LONG)])
def test_chunks_of_any_size(node: Node, target: str, size: int) -> None:
    body = LONG[: size * 50]
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, chunks(body, size))))
    assert node.path(target).read_bytes() == body
    wait_until_alone(node, target)


def test_no_content_makes_an_empty_file(node: Node, target: str) -> None:
    node.write(target, b"old")
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, b"0\r\n\r\n")))
    assert node.path(target).read_bytes() == b""


@pytest.mark.parametrize(
    "coded",
    [
        b"000000000000000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0000000000000000000000000\r\n\r\n",
        b"5;name=value\r\nhello\r\n0\r\n\r\n",
        b'5; name="a; b"\r\nhello\r\n0\r\n\r\n',
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\t\r\nhello\r\n0\r\n\r\n",
        b"5 ;x\r\nhello\r\n0\r\n\r\n",
        b"5;\r\nhello\r\n0;last\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n0 \r\n\r\n",
        b"5\r\nhello\r\n0\r\nX-Unknown: value\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX_Y: value\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX-Unknown:\r\nAnother-1:value\r\n\r\n",
        b"5\r\nhello\r\n0\r\nRange: x\r\nExpect: x\r\n\r\n",
    ],
)
def test_legal_forms(node: Node, target: str, coded: bytes) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, coded)))
        assert_created(client.request(put_chunked(target, coded)))
    assert node.path(target).read_bytes() == b"hello"


@pytest.mark.parametrize("digits", [b"1f", b"1F", b"001F", b"001f"])
def test_size_in_either_case(node: Node, target: str, digits: bytes) -> None:
    with Client(node.http) as client:
        coded = digits + b"\r\n" + b"x" * 31 + b"\r\n0\r\n\r\n"
        assert_created(client.request(put_chunked(target, coded)))
    assert node.path(target).read_bytes() == b"x" * 31


@pytest.mark.parametrize("digits", [b"aBcD", b"AbCd", b"abcd", b"ABCD", b"eF0", b"Ef0"])
def test_every_letter_is_a_digit(node: Node, target: str, digits: bytes) -> None:
    size = int(digits, 16)
    with Client(node.http) as client:
        coded = digits + b"\r\n" + b"x" * size + b"\r\n0\r\n\r\n"
        assert_created(client.request(put_chunked(target, coded)))
    assert node.path(target).stat().st_size == size


@pytest.mark.parametrize("value", ["chunked", "Chunked", "CHUNKED", "cHuNkEd"])
def test_name_of_the_coding_in_any_case(node: Node, target: str, value: str) -> None:
    request = put_head(target, f"Transfer-Encoding: {value}") + b"2\r\nok\r\n0\r\n\r\n"
    with Client(node.http) as client:
        assert_created(client.request(request))
    assert node.path(target).read_bytes() == b"ok"


@pytest.mark.parametrize(
    "value",
    [
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;q=1",
        "xchunked",
        "chunkedx",
        "chunk",
        "chunked,",
        "\x0bchunked",
    ],
)
def test_other_codings_are_refused(node: Node, target: str, value: str) -> None:
    request = put_head(target, f"Transfer-Encoding: {value}") + b"2\r\nok\r\n0\r\n\r\n"
    assert_refused(node.http, request, BAD_REQUEST)
    wait_until_untouched(node, target)


@pytest.mark.parametrize(
    "coded",
    [
        # Each is refused as it stands: nothing that could follow would make it legal.
        b"z",
        b"\r\n",
        b"\n",
        b" 5",
        b"-5",
        b"+5",
        b"0x5",
        b"5x",
        b"5,",
        b";x",
        b"5\n",
        b"5\rh",
        b"5\r\nhellox",
        b"5\r\nhello\n",
        b"5\r\nhello5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\rx",
        b"5\r\nhello\r\nz",
        b"5\r\nhello\r\n0\rx",
        b"5\r\nhello\r\n0\r\n: no name\r\n\r\n",
        # Framing has no place in a trailer (RFC 9110 section 6.5.1).
        b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\nNo-Colon\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX Y: v\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX : v\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: v\r\n\rx\r\n\r\n",
    ],
)
def test_illegal_forms(node: Node, target: str, coded: bytes) -> None:
    node.write(target, b"old")
    assert_refused(node.http, put_chunked(target, coded), BAD_REQUEST)
    assert node.path(target).read_bytes() == b"old"
    wait_until_alone(node, target)


@pytest.mark.parametrize(
    ("fields", "keeps"), [([], False), (["Connection: keep-alive"], True)], ids=["plain", "kept"]
)
def test_http_1_0(node: Node, target: str, fields: list[str], keeps: bool) -> None:
    request = put_chunked(target, chunks(b"old protocol", 5), *fields, version="1.0")
    with Client(node.http) as client:
        assert_created(client.request(request), keep=keeps)
        if not keeps:
            client.read_eof()
    assert node.path(target).read_bytes() == b"old protocol"


def test_missing_device(node: Node) -> None:
    assert_refused(node.http, put_chunked("/dev666/f", chunks(b"x", 1)), NOT_FOUND)
    assert not (node.docroot / "dev666").exists()


@pytest.mark.parametrize("coded", [b"0\r\n\r\n", b"5\r\nhello\r\n0\r\nX-T: v\r\n\r\n"])
def test_next_request_in_the_same_packet(node: Node, target: str, coded: bytes) -> None:
    get = f"GET {target} HTTP/1.0\r\n\r\n".encode()
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, coded) + get))
        response = client.read_response()
        assert response.body == node.path(target).read_bytes()
        assert not response.keeps
        client.read_eof()


def test_next_request_in_a_later_packet(node: Node, target: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, chunks(b"hello", 5))))
        assert client.request(f"GET {target} HTTP/1.1\r\n\r\n".encode()).body == b"hello"


def test_uploads_of_both_kinds_in_one_packet(node: Node, target: str) -> None:
    coded = put_chunked(f"{target}.a", chunks(b"aaaa", 3))
    counted = put_head(f"{target}.b", "Content-Length: 4") + b"bbbb"
    with Client(node.http) as client:
        client.send((coded + counted) * 2)
        for _ in range(4):
            assert_created(client.read_response())
        client.expect_silence()
    assert node.path(f"{target}.a").read_bytes() == b"aaaa"
    assert node.path(f"{target}.b").read_bytes() == b"bbbb"


def test_final_line_end_comes_late(node: Node, target: str) -> None:
    with Client(node.http) as client:
        send_pieces(client, [put_head(target, CHUNKED), b"2\r\nok\r\n0\r\n", b"\r"])
        assert not node.path(target).exists()
        client.expect_silence(0.05)
        assert_created(client.request(b"\n"))


def test_refused_in_the_middle_after_much_was_stored(node: Node, target: str) -> None:
    with Client(node.http) as client:
        send_pieces(client, [put_head(target, CHUNKED), chunks(LONG, 1000)[:-5]])
        client.send(b"quux\r\n")
        assert_refusal(client, BAD_REQUEST)
    wait_until_untouched(node, target)
