"""The node and h11 judge the same request heads; each difference has a documented reason.

h11 follows the RFCs to the letter and is written by other people. A head that one accepts and
the other refuses is either a decision of ours, which stands here in words, or a bug.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import h11
import pytest

from tests.support.http import Client

if TYPE_CHECKING:
    from tests.support.daemon import Node

HOST = b"Host: a\r\n"
LINE = b"GET / HTTP/1.1\r\n" + HOST
OLD_LINE = b"GET / HTTP/1.0\r\n"

# Statuses for a request that was not understood.
REFUSALS = {400, 507}

METHODS = "only the five methods of a storage node are known"
ALPHABET = "a path has letters, digits, slashes, dots and minus signs, which is what trackers make"
VERSIONS = "only HTTP/1.0 and HTTP/1.1 are spoken"
NO_HOST = "Host is never looked at: replication and old clients do not send it"
LINE_FEEDS = "a line ends in CRLF; taking less helps to smuggle requests past a proxy"
FOLDED_CODING = "RFC 9112 lets a server refuse folding; where it hides a coding, that is done"
LENGTHS = "RFC 9110 lets a recipient refuse a Content-Length that is a list of equal values"
BOTH_LENGTHS = "RFC 9112 lets a server refuse a body with two lengths, and names the attack"
CONTROLS = "control bytes in a value are refused, as RFC 9110 section 5.5 recommends"
TOO_LARGE = "a number that no file offset can hold is answered with 507"
MEANING = "the value means something to a storage node, and is malformed"
SIZE = "a header of more than 65,535 bytes is refused"


class Row(NamedTuple):
    name: str
    head: bytes
    disagreement: str | None = None


def line(text: bytes) -> bytes:
    return text + b"\r\n" + HOST + b"\r\n"


def field(text: bytes) -> bytes:
    return LINE + text + b"\r\n\r\n"


ROWS = [
    Row("plain", LINE + b"\r\n"),
    Row("old", OLD_LINE + b"\r\n"),
    Row("old with Host", OLD_LINE + HOST + b"\r\n"),
    Row("HEAD", line(b"HEAD / HTTP/1.1")),
    Row("DELETE", line(b"DELETE /dev1/none HTTP/1.1")),
    Row("absolute target", line(b"GET http://a/ HTTP/1.1")),
    Row("path of a file", line(b"GET /dev16777215/0/000/000/0123456789.fid HTTP/1.1")),
    Row("two spaces", line(b"GET  / HTTP/1.1")),
    Row("two spaces later", line(b"GET /  HTTP/1.1")),
    Row("tab", line(b"GET\t/ HTTP/1.1")),
    Row("leading space", line(b" GET / HTTP/1.1")),
    Row("trailing space", line(b"GET / HTTP/1.1 ")),
    Row("no version", line(b"GET /")),
    Row("no target", line(b"GET HTTP/1.1")),
    Row("long version", line(b"GET / HTTP/1.10")),
    Row("short version", line(b"GET / HTTP/1")),
    Row("lower case protocol", line(b"GET / http/1.1")),
    Row("other protocol", line(b"GET / RTSP/1.0")),
    Row("space in target", line(b"GET /a b HTTP/1.1")),
    Row("NUL in target", line(b"GET /\0 HTTP/1.1")),
    Row("UTF-8 in target", line(b"GET /\xc3\xa4 HTTP/1.1")),
    Row("DEL in target", line(b"GET /\x7f HTTP/1.1")),
    Row("sidechannel command", line(b"size /foo")),
    Row("carriage return twice", line(b"GET / HTTP/1.1\r")),
    Row("POST", line(b"POST / HTTP/1.1"), METHODS),
    Row("OPTIONS", line(b"OPTIONS / HTTP/1.1"), METHODS),
    Row("asterisk", line(b"OPTIONS * HTTP/1.1"), METHODS),
    Row("lower case method", line(b"get / HTTP/1.1"), METHODS),
    Row("unknown method", line(b"BREW / HTTP/1.1"), METHODS),
    Row("query", line(b"GET /?a=b HTTP/1.1"), ALPHABET),
    Row("percent", line(b"GET /%41 HTTP/1.1"), ALPHABET),
    Row("underscore", line(b"GET /_ HTTP/1.1"), ALPHABET),
    Row("relative target", line(b"GET a HTTP/1.1"), ALPHABET),
    Row("long path", line(b"GET /" + b"a" * 100 + b" HTTP/1.1"), ALPHABET),
    Row("HTTP/1.2", line(b"GET / HTTP/1.2"), VERSIONS),
    Row("HTTP/2.0", line(b"GET / HTTP/2.0"), VERSIONS),
    Row("HTTP/0.9", line(b"GET / HTTP/0.9"), VERSIONS),
    Row("no Host", b"GET / HTTP/1.1\r\n\r\n", NO_HOST),
    Row("two Hosts", field(b"Host: b"), NO_HOST),
    Row("line feeds", b"GET / HTTP/1.0\n\n", LINE_FEEDS),
    Row("one line feed", b"GET / HTTP/1.1\nHost: a\r\n\r\n", LINE_FEEDS),
    Row("line feed at the end", LINE + b"\n", LINE_FEEDS),
    Row("line feed in a value", field(b"A: b\nC: d"), LINE_FEEDS),
    Row("no blank before the value", field(b"A:b")),
    Row("blanks around the value", field(b"A: \t b \t ")),
    Row("empty value", field(b"A:")),
    Row("tab in the value", field(b"A: b\tc")),
    Row("obsolete text in the value", field(b"A: \xe4\xff")),
    Row("all token characters", field(b"!#$%&'*+-.^_`|~09azAZ: b")),
    Row("space before the colon", field(b"A : b")),
    Row("tab before the colon", field(b"A\t: b")),
    Row("empty name", field(b": b")),
    Row("no colon", field(b"A")),
    Row("space in the name", field(b"A B: c")),
    Row("parenthesis in the name", field(b"A(: c")),
    Row("UTF-8 in the name", field(b"\xc3\xa4: c")),
    Row("NUL in the value", field(b"A: b\0c")),
    Row("carriage return in the value", field(b"A: b\rc")),
    Row("vertical tab in the value", field(b"A: b\x0bc")),
    Row("blank before the first field", b"GET / HTTP/1.0\r\n A: b\r\n\r\n"),
    Row("bell in the value", field(b"A: b\x07c"), CONTROLS),
    Row("DEL in the value", field(b"A: b\x7fc"), CONTROLS),
    Row("folding", field(b"A: b\r\n c")),
    Row("folding with a tab", field(b"A: b\r\n\tc")),
    Row("folding before the value", field(b"Connection:\r\n keep-alive")),
    Row("folding of an empty line", field(b"A: b\r\n ")),
    Row("folded coding", field(b"Transfer-Encoding:\r\n chunked"), FOLDED_CODING),
    Row("coding in a continuation", field(b"A: b\r\n Transfer-Encoding: chunked"), FOLDED_CODING),
    Row("length", field(b"Content-Length: 0")),
    Row("length with zeros", field(b"Content-Length: 0000")),
    Row("length with a sign", field(b"Content-Length: +0")),
    Row("negative length", field(b"Content-Length: -1")),
    Row("empty length", field(b"Content-Length:")),
    Row("hexadecimal length", field(b"Content-Length: 0x0")),
    Row("length with a blank", field(b"Content-Length: 0 0")),
    Row("two different lengths", field(b"Content-Length: 0\r\nContent-Length: 1")),
    Row("two equal lengths", field(b"Content-Length: 0\r\nContent-Length: 0")),
    Row("list of equal lengths", field(b"Content-Length: 0, 0"), LENGTHS),
    Row("length beyond 63 bits", field(b"Content-Length: 9223372036854775808"), TOO_LARGE),
    Row("chunked", field(b"Transfer-Encoding: chunked")),
    Row("chunked in another case", field(b"Transfer-Encoding: cHuNkEd")),
    Row("gzip", field(b"Transfer-Encoding: gzip")),
    Row("gzip, chunked", field(b"Transfer-Encoding: gzip, chunked")),
    Row("chunked twice", field(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
    Row("identity", field(b"Transfer-Encoding: identity")),
    Row("empty coding", field(b"Transfer-Encoding:")),
    Row(
        "length and chunked",
        field(b"Content-Length: 0\r\nTransfer-Encoding: chunked"),
        BOTH_LENGTHS,
    ),
    Row("Expect", field(b"Expect: 100-continue")),
    Row("Connection", field(b"Connection: close, TE")),
    Row("Upgrade", field(b"Connection: upgrade\r\nUpgrade: websocket")),
    Row("good Range", field(b"Range: bytes=0-0")),
    Row("malformed Range", field(b"Range: bytes=x"), MEANING),
    Row("malformed Content-MD5", field(b"Content-MD5: x"), MEANING),
    Row("header of 60,000 bytes", field(b"A: " + b"b" * 60_000)),
    Row("header of 66,000 bytes", field(b"A: " + b"b" * 66_000), SIZE),
]


def accepted_by_h11(head: bytes) -> bool:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return False
    assert isinstance(event, h11.Request), f"h11 waits for more: {event}"
    return True


def accepted_by_node(node: Node, head: bytes) -> bool:
    with Client(node.http) as client:
        answer = client.request(head, head=head.startswith(b"HEAD "))
    return answer.status not in REFUSALS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_verdicts_agree_or_the_reason_is_known(node: Node, row: Row) -> None:
    verdicts = {"h11": accepted_by_h11(row.head), "node": accepted_by_node(node, row.head)}
    if row.disagreement is None:
        assert verdicts["node"] == verdicts["h11"], f"unexplained: {verdicts}"
    else:
        assert verdicts["node"] != verdicts["h11"], f"explained, but they agree: {verdicts}"
