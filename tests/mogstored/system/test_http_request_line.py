"""The request line: what is accepted, what is refused, and how early."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client, ask, compose

if TYPE_CHECKING:
    from tests.support.daemon import Node

# The longest legal path, and the two components of that limit.
LIMIT = 37
LONGEST = "/dev16777215/0/000/000/0123456789.fid"
LONGEST_TEST_WRITE = "/dev16777215/test-write/test-write-99"

END = b"\r\n\r\n"

REFUSED = {
    "lower case method": b"get / HTTP/1.1" + END,
    "mixed case method": b"Get / HTTP/1.1" + END,
    "method too long": b"GETX / HTTP/1.1" + END,
    "method too short": b"GE / HTTP/1.1" + END,
    "empty method": b" / HTTP/1.1" + END,
    "POST": b"POST /dev1/file HTTP/1.1" + END,
    "OPTIONS": b"OPTIONS * HTTP/1.1" + END,
    "TRACE": b"TRACE / HTTP/1.1" + END,
    "PATCH": b"PATCH /dev1/file HTTP/1.1" + END,
    "MOVE": b"MOVE /dev1/file HTTP/1.1" + END,
    "COPY": b"COPY /dev1/file HTTP/1.1" + END,
    "PROPFIND": b"PROPFIND / HTTP/1.1" + END,
    "CONNECT": b"CONNECT 127.0.0.1:80 HTTP/1.1" + END,
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two spaces after the method": b"GET  / HTTP/1.1" + END,
    "two spaces before the version": b"GET /  HTTP/1.1" + END,
    "tab after the method": b"GET\t/ HTTP/1.1" + END,
    "tab before the version": b"GET /\tHTTP/1.1" + END,
    "space before the method": b" GET / HTTP/1.1" + END,
    "space after the version": b"GET / HTTP/1.1 " + END,
    "no target": b"GET HTTP/1.1" + END,
    "empty target": b"GET  HTTP/1.1" + END,
    "no version": b"GET /" + END,
    "no version but a space": b"GET / " + END,
    "HTTP/0.9": b"GET / HTTP/0.9" + END,
    "HTTP/1.2": b"GET / HTTP/1.2" + END,
    "HTTP/2.0": b"GET / HTTP/2.0" + END,
    "HTTP/1": b"GET / HTTP/1" + END,
    "HTTP/1.10": b"GET / HTTP/1.10" + END,
    "HTTP/01.1": b"GET / HTTP/01.1" + END,
    "HTTP/1,1": b"GET / HTTP/1,1" + END,
    "lower case protocol": b"GET / http/1.1" + END,
    "other protocol": b"GET / HTCPCP/1.0" + END,
    "protocol of streaming": b"GET / RTSP/1.0" + END,
    "protocol of radio": b"GET / ICE/1.0" + END,
    "bare line feeds": b"GET / HTTP/1.1\n\n",
    "bare line feed after the line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "bare carriage return": b"GET / HTTP/1.1\r\r\n\r\n",
    "line feed in front": b"\nGET / HTTP/1.1" + END,
    "NUL in the target": b"GET /\0 HTTP/1.1" + END,
    "NUL in front": b"\0GET / HTTP/1.1" + END,
    "byte order mark in front": b"\xef\xbb\xbfGET / HTTP/1.1" + END,
    "command of the sidechannel": b"size /foo\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
    "relative target": b"GET dev1/file HTTP/1.1" + END,
    "relative target with dots": b"DELETE ../foo HTTP/1.1" + END,
    "asterisk": b"GET * HTTP/1.1" + END,
    "authority only": b"GET 127.0.0.1:80 HTTP/1.1" + END,
    "absolute without path": b"GET http://host HTTP/1.1" + END,
    "absolute without authority": b"GET http:///dev1/file HTTP/1.1" + END,
    "https": b"GET https://host/dev1/file HTTP/1.1" + END,
    "ftp": b"GET ftp://host/dev1/file HTTP/1.1" + END,
    "upper case scheme": b"GET HTTP://host/dev1/file HTTP/1.1" + END,
    "query": b"GET /dev1/file?a=b HTTP/1.1" + END,
    "empty query": b"GET /dev1/file? HTTP/1.1" + END,
    "fragment": b"GET /dev1/file#a HTTP/1.1" + END,
    "space in the target": b"GET /dev1/fi le HTTP/1.1" + END,
} | {
    f"{bytes([byte])!r} in the target": b"GET /dev1/a" + bytes([byte]) + b"b HTTP/1.1" + END
    for byte in b"_%~+*:;,=&@!$'()[]{}<>|\\^`\"\x01\t\x7f\x80\xe4\xff"
}

# Not the beginning of any legal request, with no end of line in sight.
HOPELESS = [
    b"HI\n",
    b"X",
    b"g",
    b"GETX",
    b"GET\t",
    b"GET  ",
    b"GET x",
    b"GET _",
    b"GET *",
    b"GET /_",
    b"GET /a?",
    b"GET /a%",
    b"GET /" + b"a" * LIMIT,
    b"GET //" + b"a" * LIMIT,
    b"GET http:/x",
    b"GET http:///",
    b"GET / X",
    b"GET / HTTQ",
    b"GET / HTTP/2",
    b"GET / HTTP/0",
    b"GET / HTTP/1.2",
    b"GET / HTTP/1.11",
    b"GET / HTTP/1.1\n",
    b"GET / HTTP/1.1\rX",
    b"GET / HTTP/1.1\r\nA b",
    b"GET / HTTP/1.1\r\nA :",
    b"GET / HTTP/1.1\r\nA: \0",
    b"DELX",
    b"MKCOLS",
    b"POST",
    b"\0",
]


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=REFUSED.keys())
def test_refused_and_closed(node: Node, request_bytes: bytes) -> None:
    answer = ask(node.http, request_bytes)
    assert (answer.status, answer.header("Connection")) == (400, "close")


@pytest.mark.parametrize("beginning", HOPELESS, ids=repr)
def test_refused_without_waiting_for_the_rest(node: Node, beginning: bytes) -> None:
    answer = ask(node.http, beginning)
    assert (answer.status, answer.header("Connection")) == (400, "close")


@pytest.mark.parametrize(
    "beginning",
    [
        b"G",
        b"GET",
        b"GET ",
        b"GET http://",
        b"GET http://a",
        b"GET /" + b"a" * (LIMIT - 1),
        b"GET ///",
        b"GET / HTTP/1.",
        b"GET / HTTP/1.1\r",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost",
        b"GET / HTTP/1.1\r\nHost:",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r",
        b"MKCO",
        b"DELETE",
    ],
    ids=repr,
)
def test_possible_beginning_is_awaited_in_silence(node: Node, beginning: bytes) -> None:
    with Client(node.http) as client:
        client.send(beginning)
        client.expect_silence(0.05)


@pytest.mark.parametrize(
    "spelling",
    [
        "/dev1/file",
        "//dev1/file",
        "/////dev1/file",
        "http://host/dev1/file",
        "http://127.0.0.1:7500/dev1/file",
        "http://127.0.0.1:7500///dev1/file",
        "http://user:word@host/dev1/file",
        "http://[::1]:7500/dev1/file",
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_spellings_of_one_target(node: Node, spelling: str, version: str) -> None:
    node.write("/dev1/file", b"found")
    plain = ask(node.http, compose("GET", "/dev1/file"))
    answer = ask(node.http, compose("GET", spelling, version=version))
    assert (answer.status, answer.body) == (200, b"found")
    assert answer.header("Last-Modified") == plain.header("Last-Modified")


def test_authority_is_ignored(node: Node, target: str) -> None:
    node.write(target, b"mine")
    fields = ("Host: elsewhere.example",)
    assert ask(node.http, compose("GET", f"http://other.example{target}", *fields)).status == 200


@pytest.mark.parametrize("path", [LONGEST, LONGEST_TEST_WRITE, "/" + "a" * (LIMIT - 1)])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_longest_path_is_legal(node: Node, method: str, path: str) -> None:
    assert len(path) == LIMIT
    assert ask(node.http, compose(method, path)).status == 404
    assert ask(node.http, compose(method, path + "a")).status == 400


def test_slashes_in_front_do_not_count_as_length(node: Node) -> None:
    assert ask(node.http, compose("GET", "//////" + LONGEST)).status == 404
    assert ask(node.http, compose("GET", "http://host:7500//" + LONGEST)).status == 404


def test_slashes_inside_do_count_as_length(node: Node) -> None:
    assert ask(node.http, compose("GET", LONGEST.replace("/0/", "//0/"))).status == 400


def test_many_slashes_and_a_long_authority_are_legal(node: Node, target: str) -> None:
    node.write(target, b"x")
    assert ask(node.http, compose("GET", "/" * 10_000 + target)).status == 200
    assert ask(node.http, compose("GET", f"http://{'h' * 10_000}{target}")).status == 200


def test_whole_alphabet_of_paths(node: Node) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-"
    for part in (alphabet[:32], alphabet[32:]):
        node.write(f"/{part}", part.encode())
        assert ask(node.http, compose("GET", f"/{part}")).body == part.encode()


def test_one_empty_line_between_requests_is_tolerated(node: Node) -> None:
    with Client(node.http) as client:
        assert client.request(compose("GET", "/")).status == 200
        assert client.request(b"\r\n" + compose("GET", "/")).status == 200


def test_two_empty_lines_between_requests_are_refused(node: Node) -> None:
    with Client(node.http) as client:
        assert client.request(compose("GET", "/")).status == 200
        answer = client.request(b"\r\n\r\n" + compose("GET", "/"))
        assert (answer.status, answer.keeps) == (400, False)
        client.read_eof()


def test_good_request_before_a_bad_one_is_answered(node: Node) -> None:
    with Client(node.http) as client:
        client.send(compose("GET", "/") + b"BAD / HTTP/1.1\r\n\r\n")
        assert client.read_response().status == 200
        assert client.read_response().status == 400
        client.read_eof()


def test_nothing_behind_a_bad_request_is_looked_at(node: Node, target: str) -> None:
    path = node.write(target, b"precious")
    with Client(node.http) as client:
        client.send(b"BAD / HTTP/1.1\r\n\r\n" + compose("DELETE", target))
        assert client.read_response().status == 400
        client.read_eof()
    assert path.exists()
