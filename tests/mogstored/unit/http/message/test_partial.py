"""Heads and trailers in pieces: faults are found as soon as no more bytes can mend them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.http.message.chunked import ChunkedDecoder
from mogstored.http.message.partial import PartialHead
from mogstored.http.message.request import BadRequest, Request, parse_request
from mogstored.http.put import start_of_range

MD5 = b"Q2hlY2sgSW50ZWdyaXR5IQ=="
OTHER_MD5 = b"AAAAAAAAAAAAAAAAAAAAAA=="
LINES = {
    b"GET": b"GET /dev1/a HTTP/1.1\r\n",
    b"PUT": b"PUT /dev1/a HTTP/1.1\r\n",
    b"DELETE": b"DELETE /dev1/a HTTP/1.1\r\n",
}


def judge(head: bytes) -> Request:
    """Read a whole head; refuse it where the node does, before it touches a disk."""
    request = parse_request(head, len(head), {})
    if request.method == b"PUT":
        start_of_range(request.fields)
    return request


def feed(partial: PartialHead, head: bytes, piece: int) -> bytes | None:
    whole = None
    for begin in range(0, len(head), piece):
        whole = partial.feed(head[begin : begin + piece])
    return whole


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize(
    ("method", "lines", "status"),
    [
        (b"GET", b"Content-MD5: x", 400),
        (b"DELETE", b"Content-MD5: x", 400),
        (b"PUT", b"Content-MD5: " + MD5 + b"\r\nContent-MD5: " + OTHER_MD5, 400),
        (b"GET", b"Range: foo", 400),
        (b"GET", b"Range: bytes=1-2-3", 400),
        (b"GET", b"Range: bytes", 400),
        (b"GET", b"Range: foo,", 400),
        (b"GET", b"Range: bytes=1-\r\nRange: bytes=2-", 400),
        (b"GET", b"Range: bytes=1-\r\n x", 400),
        (b"GET", b"Transfer-Encoding: gzip", 400),
        (b"PUT", b"Transfer-Encoding:", 400),
        (b"PUT", b"Transfer-Encoding: chunked\r\n ", 400),
        (b"PUT", b"Content-Length: 5\r\nContent-Length: 6", 400),
        (b"PUT", b"Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 6", 400),
        (b"PUT", b"Content-Length: 5\r\n 6", 400),
        (b"PUT", b"Content-Length: 9223372036854775808", 507),
        (b"PUT", b"Content-Length: 5\r\nContent-Length: 9223372036854775808", 507),
        (b"PUT", b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        (b"PUT", b"Content-Range: x", 400),
        (b"PUT", b"Content-Range: bytes 5-4/*", 400),
        (b"PUT", b"Content-Range: bytes 0-9223372036854775808/*", 507),
        (b"PUT", b"Content-Range: bytes 0-4/*\r\nContent-Range: bytes 0-5/*", 400),
        (b"PUT", b"Content-Range: bytes 0-4/*\r\nContent-Length: 4", 400),
        (b"PUT", b"Transfer-Encoding: chunked\r\nContent-Range: bytes 0-4/*", 400),
        # Behind a folded line llhttp is of no use any more.
        (b"GET", b"X: a\r\n b\r\nBad Name: 1", 400),
        (b"GET", b"X: a\r\n b\r\nRange: foo", 400),
        (b"GET", b"X: a\r\n b\r\nY: \x01", 400),
    ],
)
def test_illegal_value_is_refused_when_its_line_ends(
    method: bytes, lines: bytes, status: int, piece: int
) -> None:
    with pytest.raises(BadRequest) as refused:
        feed(PartialHead(), LINES[method] + lines + b"\r\n", piece)
    assert refused.value.status == status
    with pytest.raises(BadRequest):
        judge(LINES[method] + lines + b"\r\n\r\n")


@pytest.mark.parametrize("lines", [b"Content-MD5:", b"Range:", b"Content-Length:"])
def test_empty_value_is_refused_when_no_folded_line_follows(lines: bytes) -> None:
    with pytest.raises(BadRequest):
        feed(PartialHead(), LINES[b"GET"] + lines + b"\r\nHost: h\r\n", 1)


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        (b"PUT", b"Content-MD5:\r\n " + MD5),
        (b"PUT", b"Content-Length:\r\n\t5"),
        (b"PUT", b"Content-Length:\t5\t"),
        (b"PUT", b"Content-Range: bytes\r\n 0-4/*\r\nContent-Length: 5"),
        (b"GET", b"Range:\r\n bytes=1-"),
        (b"GET", b"Range: bytes=0-1,\r\n 3-4"),
        (b"GET", b"Range: bytes=0-1,\r\n 3-4\r\nRange: bytes=0-1,\r\n\t3-4"),
        # For methods that have no use for them.
        (b"DELETE", b"Range: foo"),
        (b"PUT", b"Range: bytes=1-\r\nRange: bytes=2-"),
        (b"GET", b"Content-Range: x"),
        (b"DELETE", b"Content-Range: x\r\nContent-Range: y"),
    ],
)
def test_legal_head_is_awaited(method: bytes, lines: bytes) -> None:
    head = LINES[method] + lines + b"\r\n\r\n"
    assert feed(PartialHead(), head, 1) == head
    judge(head)


SOME_LINES = st.sampled_from(
    [
        b"Content-MD5: " + MD5, b"content-md5:" + MD5 + b" ", b"Content-MD5: x", b"Content-MD5:",
        b" " + MD5, b"Range: bytes=0-1", b"Range: bytes=0-1,", b"\t3-4", b" ,3-4", b"Range: foo",
        b"Range:", b" bytes=0-1", b"Content-Length: 5", b"Content-Length: 05", b"Content-Length:",
        b" 5", b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip", b"Transfer-Encoding:", b" chunked", b" ", b"Host: h", b"X:",
        b"Content-Range: bytes", b" 0-4/*", b"Content-Range: bytes 0-4/*", b"Content-Range: x",
        b"Connection: close", b"no field", b"X: \x01", b" Content-Length: 6", b"X: \xff",
    ]
)  # fmt: skip


def outcome(head: bytes, edges: list[int]) -> tuple[object, bool]:
    """Return what becomes of a head in pieces, and whether it was refused before its end."""
    partial = PartialHead()
    try:
        for begin, end in itertools.pairwise(edges):
            whole = partial.feed(head[begin:end])
            if whole is not None:
                return judge(whole), False
    except BadRequest:
        return None, end < len(head)
    raise AssertionError("the head is not whole")


@given(st.sampled_from([*LINES]), st.lists(SOME_LINES, max_size=5), st.lists(st.integers(0, 300)))
def test_pieces_decide_nothing(method: bytes, lines: list[bytes], cuts: list[int]) -> None:
    """What is refused early would be refused in the end, and nothing else is."""
    head = LINES[method] + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    edges = [0, *sorted({cut % (len(head) + 1) for cut in cuts} - {0, len(head)}), len(head)]
    try:
        expected = judge(head)
    except BadRequest:
        expected = None
    assert outcome(head, edges)[0] == expected


def decode(coded: bytes, piece: int) -> ChunkedDecoder:
    decoder = ChunkedDecoder()
    for begin in range(0, len(coded), piece):
        decoder.decode(memoryview(coded[begin : begin + piece]))
    return decoder


@pytest.mark.parametrize("piece", [1, 1000])
@pytest.mark.parametrize(
    "line",
    [
        b": x",
        b"no field",
        b"Content-MD5: x",
        b"X: a\r\nContent-MD5: " + MD5 + b"\r\nContent-MD5: " + OTHER_MD5,
        b"X: a\r\n b",
        b"X: \x01",
    ],
)
def test_illegal_line_of_a_trailer_is_refused_when_it_ends(line: bytes, piece: int) -> None:
    with pytest.raises(BadRequest):
        decode(b"0\r\n" + line + b"\r\n", piece)


def test_legal_trailer_one_byte_at_a_time() -> None:
    decoder = decode(b"0\r\nX: a\r\nContent-Range: b\r\nContent-MD5: " + MD5 + b"\r\n\r\n", 1)
    assert decoder.done
    assert decoder.content_md5 == MD5
