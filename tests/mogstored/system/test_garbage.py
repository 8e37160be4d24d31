"""Random bytes: legal answers, an end, and a node that goes on serving."""

from __future__ import annotations

import errno
import random
import socket
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.http import END_OF_HEAD, Client, parse_head
from tests.support.puts import assert_serves, chunks, md5_of, put, put_chunked

if TYPE_CHECKING:
    from tests.support.daemon import Node

MIB = 1 << 20
STATUSES = {100, 200, 201, 204, 206, 400, 403, 404, 405, 416, 500, 507}
CUT_OFF = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}
BODY = bytes(range(256))

SAMPLES = [
    put("/dev1/garbage", BODY),
    put("/dev1/garbage", BODY, f"Content-MD5: {md5_of(BODY)}", "Expect: 100-continue"),
    put("/dev1/garbage", BODY, "Content-Range: bytes 0-255/*"),
    put_chunked("/dev1/garbage", chunks(BODY, 50, "X-Trailer: value"), "Trailer: Content-MD5"),
    b"GET /dev1/garbage HTTP/1.1\r\nRange: bytes=1-5\r\n\r\n",
    b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"DELETE /dev1/garbage HTTP/1.1\r\n\r\n",
    b"MKCOL /dev1/garbage/ HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
]

FRAGMENTS = [
    b"PUT ", b"GET ", b"/dev1/garbage", b"http://h/", b"..", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n",
    b"\r\n", b"\r", b"\n", b":", b" ", b"\t", b"\x00", b"\xff", b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Content-Range: bytes 0-4/*\r\n", b"Content-MD5: ", b"Trailer: Content-MD5\r\n",
    b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n",
    b"ffffffffffffffff\r\n", b"hello", b";", b"Range: bytes=0-1\r\n",
]  # fmt: skip


def _exchange(node: Node, data: bytes) -> bytes:
    """Send all of it and nothing more; return all that came back before the end."""
    with Client(node.http) as client:
        try:
            client.send(data)
            client.sock.shutdown(socket.SHUT_WR)
            return client.read_to_eof()
        except OSError as error:
            # A client that goes on writing long after the refusal is cut off.
            if error.errno not in CUT_OFF:
                raise
            return b""


def _expect_answers(answers: bytes) -> None:
    """Expect nothing but whole answers; a body can only be one that a sample has stored."""
    rest = answers
    while rest:
        head, end, rest = rest.partition(END_OF_HEAD)
        assert end, f"not an answer: {head[:200]!r}"
        status, _, headers = parse_head(head + end)
        assert status in STATUSES
        fields = dict(headers)
        if status in (200, 206) and not rest.startswith(b"HTTP/1.1 "):
            rest = rest[int(fields["Content-Length"]) :]


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(pieces=st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=20), max_size=15))
def test_fragments_in_any_order(node: Node, pieces: list[bytes]) -> None:
    _expect_answers(_exchange(node, b"".join(pieces)))


def test_noise(node: Node) -> None:
    chance = random.Random(20)
    for _ in range(100):
        _expect_answers(_exchange(node, chance.randbytes(chance.randrange(1, 3000))))
    assert_serves(node)


def test_damaged_requests(node: Node) -> None:
    chance = random.Random(30)
    for _ in range(400):
        request = bytearray(b"".join(chance.choices(SAMPLES, k=chance.randrange(1, 4))))
        for _ in range(chance.randrange(1, 4)):
            _damage(request, chance)
        _expect_answers(_exchange(node, bytes(request)))
    assert_serves(node)


def test_memory_stays_bounded(node: Node) -> None:
    chance = random.Random(40)
    flood = [chance.randbytes(100_000) for _ in range(5)]
    flood.append(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000)
    flood.append(b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000)
    flood.append(put_chunked("/dev1/garbage", b"5;" + b"x" * 200_000))
    for data in flood:
        _exchange(node, data)
    before = node.process.memory_info().rss
    for _ in range(15):
        for data in flood:
            _exchange(node, data)
    assert node.process.memory_info().rss - before < 8 * MIB
    assert_serves(node)


def _damage(request: bytearray, chance: random.Random) -> None:
    """Change, remove, double or insert a few bytes, or cut the end off."""
    at = chance.randrange(len(request))
    match chance.randrange(5):
        case 0:
            request[at] = chance.randrange(256)
        case 1:
            del request[at : at + chance.randrange(1, 10)]
        case 2:
            request[at:at] = request[at : at + chance.randrange(1, 30)]
        case 3:
            request[at:at] = chance.choice(FRAGMENTS)
        case _:
            del request[max(at, 1) :]
    if not request:
        request[:] = b"\r"
