"""Heads of requests to an admin listener."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.admin.http.message import MAX_HEAD, Answer, HeadReader, Refused, Request

SCRAPE = (
    b"GET http://store1:7502/metrics?name=x HTTP/1.1\r\nHost: store1:7502\r\n"
    b"accept: text/plain\r\nAccept: */*\r\nCookie: %b\r\n\r\n"
)


def read(data: bytes) -> Request:
    whole = HeadReader().feed(data)
    assert whole is not None
    return whole[0]


@given(cuts=st.lists(st.integers(0, len(SCRAPE) - 1), max_size=5), rest=st.binary(max_size=5))
def test_head_may_come_in_any_pieces(cuts: list[int], rest: bytes) -> None:
    reader = HeadReader()
    places = [0, *sorted(cuts), len(SCRAPE) - 1]
    for begin, end in pairwise(places):
        assert reader.feed(SCRAPE[begin:end]) is None
    assert reader.feed(SCRAPE[-1:] + rest) == (
        Request("GET", "/metrics", "text/plain,*/*", keep_alive=True),
        rest,
    )


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("GET / HTTP/1.1", "/"),
        ("HEAD /-/ready?x=1 HTTP/1.1", "/-/ready"),
        ("GET http://host HTTP/1.1", "/"),
        ("GET /%2e HTTP/1.1", "/%2e"),
    ],
)
def test_path(line: str, path: str) -> None:
    assert read(f"{line}\r\n\r\n".encode()).path == path


@pytest.mark.parametrize(
    ("fields", "version", "keeps"),
    [
        ("", "1.1", True),
        ("", "1.0", False),
        ("Connection: close\r\n", "1.1", False),
        ("Connection: keep-alive\r\n", "1.0", True),
        ("Content-Length: 5\r\n", "1.1", False),
        ("Content-Length: 0\r\n", "1.1", True),
        ("Transfer-Encoding: chunked\r\n", "1.1", False),
        ("Upgrade: h2c\r\nConnection: upgrade\r\n", "1.1", True),
    ],
)
def test_connection_is_kept_when_what_follows_can_only_be_a_request(
    fields: str, version: str, keeps: bool
) -> None:
    assert read(f"GET / HTTP/{version}\r\n{fields}\r\n".encode()).keep_alive is keeps


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NOSUCH / HTTP/1.1\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: first\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
        b"\n" * 20 + b"\r\n\r\n",
    ],
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        HeadReader().feed(data)
    assert refused.value.status == 400


def test_garbage_is_refused_before_its_end() -> None:
    reader = HeadReader()
    assert reader.feed(b"GET / HTTP/1.1\r\nA: 1\r\n") is None
    with pytest.raises(Refused):
        reader.feed(b"B: \x00")


@pytest.mark.parametrize("in_pieces", [True, False])
def test_head_has_a_longest_length(in_pieces: bool) -> None:
    head = b"GET / HTTP/1.1\r\nA: " + b"x" * MAX_HEAD + b"\r\n\r\n"
    reader = HeadReader()
    size = 1000 if in_pieces else len(head)
    pieces = [head[begin : begin + size] for begin in range(0, len(head), size)]
    with pytest.raises(Refused) as refused:
        list(map(reader.feed, pieces))
    assert refused.value.status == 431


@pytest.mark.parametrize("in_pieces", [True, False])
def test_longest_head_has_32_kib(in_pieces: bool) -> None:
    begin = b"GET / HTTP/1.1\r\nA: "
    head = begin + b"x" * (32768 - len(begin))
    for data, status in ((head + b"\r\n\r\n", None), (head + b"x\r\n\r\n", 431)):
        reader = HeadReader()
        pieces = [data[:-4], data[-4:]] if in_pieces else [data]
        try:
            assert [reader.feed(each) for each in pieces][-1] is not None
            refused = None
        except Refused as error:
            refused = error.status
        assert refused == status


def test_answer_says_how_to_read_it() -> None:
    answer = Answer(405, "text/plain", b"no\n", {"Allow": "GET"})
    *lines, _, _ = answer.head(keep_alive=False).decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 405 Method Not Allowed"
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert fields.pop("Date").endswith(" GMT")
    assert fields == {
        "Content-Type": "text/plain",
        "Content-Length": "3",
        "X-Content-Type-Options": "nosniff",
        "Allow": "GET",
        "Connection": "close",
    }
