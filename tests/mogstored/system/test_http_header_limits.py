"""The header block: its size, the syntax of fields, fields that contradict each other."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client, ask, compose
from tests.support.threads import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.daemon import Node

LIMIT = 65_535
LINE = b"GET / HTTP/1.1\r\n"
MD5_OF_NOTHING = "1B2M2Y8AsgTpgAmY7PhCfg=="


def header_of(size: int) -> bytes:
    """Return a legal header of that many bytes in all."""
    start = LINE + b"X-Padding: "
    return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("size", [1000, 8192, 32_768, 65_533, LIMIT])
def test_header_up_to_the_limit(node: Node, size: int) -> None:
    request = header_of(size)
    assert len(request) == size
    assert ask(node.http, request).status == 200


@pytest.mark.parametrize("size", [LIMIT + 1, 65_549, 70_000])
def test_header_beyond_the_limit(node: Node, size: int) -> None:
    answer = ask(node.http, header_of(size))
    assert (answer.status, answer.keeps) == (400, False)


def test_header_far_beyond_the_limit(node: Node) -> None:
    """Most of it is never read, so that the connection may end in a reset; the answer counts."""
    with Client(node.http) as client:
        assert client.request(header_of(500_000)).status == 400


def test_limit_is_per_request(node: Node) -> None:
    with Client(node.http) as client:
        client.send(header_of(LIMIT) * 3)
        assert [client.read_response().status for _ in range(3)] == [200, 200, 200]


def test_limit_counts_a_request_behind_another_by_itself(node: Node) -> None:
    with Client(node.http) as client:
        client.send(compose("GET", "/") + header_of(LIMIT + 1))
        assert client.read_response().status == 200
        assert client.read_response().status == 400
        client.read_eof()


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (LINE + b"X: ", b"x"),
        (LINE, b"X-Many: 1\r\n"),
        (b"GET /", b"/"),
        (b"GET http://a", b"a"),
    ],
    ids=["one field", "many fields", "slashes", "authority"],
)
def test_header_without_end(node: Node, start: bytes, piece: bytes) -> None:
    """The client can read the answer although it is still writing."""
    with Client(node.http) as client, _writing_for_ever(client, start, piece):
        answer = client.read_response()
        assert (answer.status, answer.keeps) == (400, False)


def test_thousands_of_fields(node: Node) -> None:
    request = LINE + b"X-Name: value\r\n" * 4094 + b"\r\n"
    assert len(request) < LIMIT
    assert ask(node.http, request).status == 200


def test_shortest_fields_filling_the_block(node: Node) -> None:
    fields = (LIMIT - len(LINE) - 2) // 4
    assert ask(node.http, LINE + b"a:\r\n" * fields + b"\r\n").status == 200


ACCEPTED = {
    "no space before the value": b"A:b",
    "tabs and spaces around the value": b"A: \t b \t ",
    "empty value": b"A:",
    "blank value": b"A: ",
    "tab in the value": b"A: b\tc",
    "colons in the value": b"A: b:c::",
    "bytes beyond ASCII in the value": b"A: b\xe4\xff\x80",
    "every character of a token": b"!#$%&'*+-.^_`|~09azAZ: b",
    "underscore in the name": b"X_Name: b",
    "long name": b"N" * 5000 + b": b",
    "long value": b"A: " + b"v" * 50_000,
    "same unknown field twice": b"A: b\r\nA: c",
    "any Host": b"Host: :::",
    "two Hosts": b"Host: a\r\nHost: b",
    "upgrade offered": b"Connection: upgrade, keep-alive\r\nUpgrade: h2c",
    "websocket offered": b"Connection: upgrade\r\nUpgrade: websocket",
    "well-formed Content-MD5": b"Content-MD5: " + MD5_OF_NOTHING.encode(),
    "Trailer": b"Trailer: Content-MD5, X-Other",
    "unknown Expect": b"Expect: something-else",
    "folding with a space": b"A: b\r\n c",
    "folding with a tab": b"A: b\r\n\tc",
    "folding before the value": b"A:\r\n b",
    "folding over many lines": b"A: b" + b"\r\n c" * 10_000,
    "folding of an empty line": b"A: b\r\n ",
}

REFUSED = {
    "space before the colon": b"A : b",
    "tab before the colon": b"A\t: b",
    "empty name": b": b",
    "no colon": b"A",
    "no colon but a space": b"A b",
    "space in the name": b"A B: c",
    "slash in the name": b"A/B: c",
    "parenthesis in the name": b"A(: c",
    "quote in the name": b'"A": c',
    "NUL in the name": b"A\0: c",
    "bytes beyond ASCII in the name": b"\xc3\xa4: c",
    "space before the first field": b" A: b",
    "tab before the first field": b"\tA: b",
    "line feed alone": b"A: b\nC: d",
    "line feed alone at the end": b"A: b\n",
    "carriage return alone": b"A: b\rC: d",
    "carriage return twice": b"A: b\r",
    "NUL behind a folding": b"A: b\r\n c\0",
    "no colon behind a folding": b"A: b\r\n c\r\nD",
    "DEL in the value": b"A: b\x7fc",
} | {
    f"{bytes([byte])!r} in the value": b"A: b" + bytes([byte]) + b"c"
    for byte in range(32)
    if byte not in b"\t"
}


@pytest.mark.parametrize("field", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(node: Node, field: bytes) -> None:
    with Client(node.http) as client:
        assert client.request(LINE + field + b"\r\n\r\n").status == 200
        assert client.request(LINE + b"\r\n").status == 200


@pytest.mark.parametrize("field", REFUSED.values(), ids=REFUSED.keys())
def test_refused(node: Node, field: bytes) -> None:
    answer = ask(node.http, LINE + field + b"\r\n\r\n")
    assert (answer.status, answer.keeps) == (400, False)


def test_header_that_ends_with_line_feeds(node: Node) -> None:
    answer = ask(node.http, LINE + b"A: b\r\n\n")
    assert (answer.status, answer.keeps) == (400, False)


LENGTHS = {
    "sign": "+5",
    "minus": "-5",
    "empty": "",
    "hexadecimal": "0x5",
    "two numbers": "5 5",
    "list": "5, 5",
    "fraction": "5.0",
    "letters": "five",
    "underscore": "1_0",
    "digits beyond ASCII": "\xb2",
}


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("value", LENGTHS.values(), ids=LENGTHS.keys())
def test_malformed_length(node: Node, target: str, method: str, value: str) -> None:
    answer = ask(node.http, compose(method, target, f"Content-Length: {value}"))
    assert (answer.status, answer.keeps) == (400, False)
    assert not node.path(target).exists()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "MKCOL"])
@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**64, 10**40])
def test_length_too_large_to_count(node: Node, target: str, method: str, value: int) -> None:
    answer = ask(node.http, compose(method, target, f"Content-Length: {value}"))
    assert (answer.status, answer.keeps) == (507, False)


@pytest.mark.parametrize("field", ["content-length", "CONTENT-LENGTH", "Content-length"])
def test_name_of_a_field_is_read_in_any_case(node: Node, target: str, field: str) -> None:
    with Client(node.http) as client:
        assert client.request(compose("PUT", target, f"{field}: 5") + b"hello").status == 201
    assert node.path(target).read_bytes() == b"hello"


CONTRADICTIONS = {
    "two lengths": ("Content-Length: 5", "Content-Length: 6"),
    "two lengths, one of them twice": (*["Content-Length: 5"] * 2, "Content-Length: 6"),
    "two equal lists of lengths": ("Content-Length: 5, 5", "Content-Length: 5, 5"),
    "two lengths in other words": ("Content-Length: 5", "Content-Length: 05"),
    "folded length": ("Content-Length: 5\r\n 5",),
    "length then chunked": ("Content-Length: 5", "Transfer-Encoding: chunked"),
    "chunked then length": ("Transfer-Encoding: chunked", "Content-Length: 5"),
    "length 0 and chunked": ("Content-Length: 0", "Transfer-Encoding: chunked"),
    "unknown coding": ("Transfer-Encoding: gzip",),
    "identity": ("Transfer-Encoding: identity",),
    "gzip inside chunked": ("Transfer-Encoding: gzip, chunked",),
    "chunked not last": ("Transfer-Encoding: chunked, gzip",),
    "chunked and another field": ("Transfer-Encoding: chunked", "Transfer-Encoding: gzip"),
    "coding with a parameter": ("Transfer-Encoding: chunked;a=b",),
    "quoted coding": ('Transfer-Encoding: "chunked"',),
    "almost chunked": ("Transfer-Encoding: xchunked",),
    "vertical tab before chunked": ("Transfer-Encoding: \x0bchunked",),
    "empty coding": ("Transfer-Encoding:",),
    "space before the colon of a length": ("Content-Length : 5",),
    "space before the colon of a coding": ("Transfer-Encoding : chunked",),
    "folded coding": ("Transfer-Encoding:\r\n chunked",),
    "coding in a continuation": ("A: b\r\n Transfer-Encoding: chunked",),
    "length in a continuation": ("A: b\r\n\tContent-Length: 5",),
}


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("fields", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_body_whose_end_is_in_doubt_is_refused(
    node: Node, target: str, method: str, fields: tuple[str, ...]
) -> None:
    """The bytes behind such a head must never run as a request."""
    victim = node.write(f"{target}v", b"precious")
    with Client(node.http) as client:
        smuggled = b"0\r\n\r\n" + compose("DELETE", f"{target}v")
        answer = client.request(compose(method, target, *fields) + smuggled)
        assert (answer.status, answer.keeps) == (400, False)
        client.read_eof()
    assert victim.exists()
    assert not node.path(target).exists()


@pytest.mark.parametrize("size", [1, 2, 1000], ids="{} bytes at once".format)
def test_folded_field_has_its_meaning(node: Node, size: int) -> None:
    request = compose("GET", "/", "Connection: TE,\r\n\t keep-alive", version="1.0")
    with Client(node.http) as client:
        for start in range(0, len(request), size):
            client.send(request[start : start + size])
        assert client.read_response().keeps


@pytest.mark.parametrize("size", [1, 2, 1000], ids="{} bytes at once".format)
def test_length_that_is_said_twice_counts_once(node: Node, target: str, size: int) -> None:
    request = compose("PUT", target, "Content-Length: 5", "A: b", "content-length:5 ") + b"hello"
    with Client(node.http) as client:
        for start in range(0, len(request), size):
            client.send(request[start : start + size])
        assert client.read_response().status == 201
        assert client.request(LINE + b"\r\n").status == 200
    assert node.path(target).read_bytes() == b"hello"


@pytest.mark.parametrize(
    ("field", "other", "status"),
    [
        ("Range: bytes=0-1", "Range: bytes=0-2", 206),
        (f"Content-MD5: {MD5_OF_NOTHING}", "Content-MD5: XrY7u+Ae7tCTyyK7j1rNww==", 200),
    ],
    ids=["Range", "Content-MD5"],
)
def test_repeated_field(node: Node, target: str, field: str, other: str, status: int) -> None:
    node.write(target, b"0123")
    assert ask(node.http, compose("GET", target, field, field)).status == status
    assert ask(node.http, compose("GET", target, field, other)).status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "MKCOL", "PUT"])
@pytest.mark.parametrize(
    "value",
    ["", "x", MD5_OF_NOTHING[:-1], MD5_OF_NOTHING + "=", "1B2M2Y8AsgTpgAmY7PhCf===", "1" * 24],
)
def test_malformed_md5_is_refused_for_any_method(
    node: Node, target: str, method: str, value: str
) -> None:
    answer = ask(node.http, compose(method, target, f"Content-MD5: {value}"))
    assert (answer.status, answer.keeps) == (400, False)


@contextmanager
def _writing_for_ever(client: Client, start: bytes, piece: bytes) -> Iterator[None]:
    """Write `start`, then `piece` again and again until the connection is torn down."""

    def write() -> None:
        with suppress(OSError):
            client.send(start)
            while True:
                client.send(piece * (100_000 // len(piece)))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        with suppress(OSError):
            client.sock.shutdown(socket.SHUT_RDWR)
        join(thread)
