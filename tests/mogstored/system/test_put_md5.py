"""Content-MD5 of an upload, in the header or in the trailer."""

from __future__ import annotations

import random
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.puts import (
    BAD_REQUEST,
    assert_created,
    assert_refused,
    assert_short,
    chunks,
    md5_of,
    put,
    put_chunked,
    traces,
    wait_until_alone,
    wait_until_untouched,
)

if TYPE_CHECKING:
    from collections.abc import Callable


BODY = bytes(range(256)) * 100
RIGHT = f"Content-MD5: {md5_of(BODY)}"
WRONG = f"Content-MD5: {md5_of(b'another text')}"
ANNOUNCED = "Trailer: Content-MD5"

NOT_A_DIGEST = [
    "",
    "x",
    md5_of(BODY)[:-1],
    md5_of(BODY)[1:],
    md5_of(BODY) + "=",
    "A" * 22,
    "A" * 24,
    "A" * 23 + "=",
    "A" * 21 + "===",
    "-" + "A" * 21 + "==",
    "_" + "A" * 21 + "==",
    "A" * 10 + " " + "A" * 11 + "==",
    "0" * 32,
]


@pytest.mark.parametrize("body", [b"", b".", BODY], ids=["empty", "one", "many"])
def test_right_header(node: Node, target: str, body: bytes) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put(target, body, f"Content-MD5: {md5_of(body)}")))
    assert node.path(target).read_bytes() == body


def test_right_header_of_a_chunked_body(node: Node, target: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, chunks(BODY, 999), RIGHT)))
    assert node.path(target).read_bytes() == BODY


WRONG_UPLOADS = [
    pytest.param([WRONG], None, [], id="header"),
    pytest.param([WRONG], 999, [], id="header-chunked"),
    pytest.param([ANNOUNCED], 999, [WRONG], id="trailer"),
    pytest.param([ANNOUNCED], 999, [], id="trailer-missing"),
    pytest.param([ANNOUNCED], 999, ["X-Other: value"], id="trailer-other"),
]


def _upload(target: str, fields: list[str], size: int | None, trailer: list[str]) -> bytes:
    if size is None:
        return put(target, BODY, *fields)
    return put_chunked(target, chunks(BODY, size, *trailer), *fields)


@pytest.mark.parametrize(("fields", "size", "trailer"), WRONG_UPLOADS)
def test_mismatch_makes_no_file(
    node: Node, target: str, fields: list[str], size: int | None, trailer: list[str]
) -> None:
    with Client(node.http) as client:
        response = client.request(_upload(target, fields, size, trailer))
        assert_short(response, BAD_REQUEST, keep=True)
        assert not node.path(target).exists()
        wait_until_untouched(node, target)


@pytest.mark.parametrize(("fields", "size", "trailer"), WRONG_UPLOADS)
def test_mismatch_keeps_the_old_file(
    node: Node, target: str, fields: list[str], size: int | None, trailer: list[str]
) -> None:
    node.write(target, b"old").chmod(0o604)
    with Client(node.http) as client:
        client.request(_upload(target, fields, size, trailer))
    assert node.path(target).read_bytes() == b"old"
    assert stat.S_IMODE(node.path(target).stat().st_mode) == 0o604
    wait_until_alone(node, target)


@pytest.mark.parametrize(("fields", "size", "trailer"), WRONG_UPLOADS)
def test_connection_is_usable_after_a_mismatch(
    node: Node, target: str, fields: list[str], size: int | None, trailer: list[str]
) -> None:
    with Client(node.http) as client:
        client.request(_upload(target, fields, size, trailer))
        client.expect_silence(0.02)
        assert_created(client.request(put(target, BODY, RIGHT)))
    assert node.path(target).read_bytes() == BODY


@pytest.mark.parametrize("connection", [None, "close"])
def test_mismatch_closes_when_that_was_negotiated(
    node: Node, target: str, connection: str | None
) -> None:
    fields, version = ([], "1.0") if connection is None else (["Connection: close"], "1.1")
    with Client(node.http) as client:
        client.send(put(target, BODY, WRONG, *fields, version=version))
        assert_short(client.read_response(), BAD_REQUEST, keep=False)
        client.read_eof()


def test_mismatch_between_pipelined_uploads(node: Node, target: str) -> None:
    bad, good = put(target, BODY, WRONG), put(target, b"good")
    with Client(node.http) as client:
        client.send(bad + good + bad + good)
        assert [client.read_response().status for _ in range(4)] == [400, 201, 400, 201]
        client.expect_silence(0.02)
    assert node.path(target).read_bytes() == b"good"


@pytest.mark.parametrize("value", NOT_A_DIGEST)
@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD", "DELETE", "MKCOL"])
def test_malformed_header(node: Node, target: str, method: str, value: str) -> None:
    node.write(target, b"old")
    request = f"{method} {target} HTTP/1.1\r\nContent-MD5: {value}\r\n\r\n".encode()
    assert_refused(node.http, request, BAD_REQUEST)
    assert node.path(target).read_bytes() == b"old"


@pytest.mark.parametrize("value", NOT_A_DIGEST)
@pytest.mark.parametrize("fields", [[], [ANNOUNCED]], ids=["unannounced", "announced"])
def test_malformed_trailer(node: Node, target: str, fields: list[str], value: str) -> None:
    coded = chunks(BODY, 5000, f"Content-MD5: {value}")
    assert_refused(node.http, put_chunked(target, coded, *fields), BAD_REQUEST)
    assert not node.path(target).exists()
    wait_until_untouched(node, target)


@pytest.mark.parametrize(
    "announced",
    [
        ANNOUNCED,
        "trailer: content-md5",
        "Trailer:Content-MD5",
        "Trailer: X-Other, Content-MD5",
        "Trailer: Content-MD5,X-Other",
        "Trailer: X-Other\r\nTrailer: CONTENT-MD5",
    ],
)
def test_announced_trailer_is_compared(node: Node, target: str, announced: str) -> None:
    with Client(node.http) as client:
        wrong = client.request(put_chunked(target, chunks(BODY, 999, WRONG), announced))
        assert_short(wrong, BAD_REQUEST, keep=True)
        right = chunks(BODY, 999, "X-Other: value", RIGHT, "X-More: value")
        assert_created(client.request(put_chunked(target, right, announced)))
    assert node.path(target).read_bytes() == BODY


@pytest.mark.parametrize("name", ["content-md5", "CONTENT-MD5", "Content-Md5"])
def test_name_of_the_trailer_in_any_case(node: Node, target: str, name: str) -> None:
    coded = chunks(BODY, 999, f"{name}:{md5_of(BODY)}")
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, coded, ANNOUNCED)))


@pytest.mark.parametrize("trailer", [RIGHT, WRONG], ids=["right", "wrong"])
@pytest.mark.parametrize("fields", [[], ["Trailer: X-Other"]], ids=["none", "other"])
def test_unannounced_trailer_is_not_compared(
    node: Node, target: str, fields: list[str], trailer: str
) -> None:
    coded = chunks(BODY, 999, trailer)
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, coded, *fields)))
    assert node.path(target).read_bytes() == BODY


def test_empty_chunked_body_with_a_trailer(node: Node, target: str) -> None:
    coded = chunks(b"", 1, f"Content-MD5: {md5_of(b'')}")
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, coded, ANNOUNCED)))
    assert node.path(target).read_bytes() == b""


def test_eight_megabytes_in_chunks(node: Node, target: str) -> None:
    body = bytes(range(256)) * 64 * 500
    coded = chunks(body, 16384, f"Content-MD5: {md5_of(body)}")
    with Client(node.http) as client:
        assert_created(client.request(put_chunked(target, coded, ANNOUNCED)))
    assert node.path(target).read_bytes() == body


@pytest.mark.parametrize("size", [None, 400_001], ids=["length", "chunked"])
def test_many_large_bodies_at_once(node: Node, target: str, size: int | None) -> None:
    """Hashing runs in parallel; no digest may include another body's bytes."""
    bodies = [random.Random(number).randbytes(9_000_000) for number in range(6)]
    wrong = bodies[1:] + bodies[:1]

    def upload(number: int) -> list[int]:
        body = bodies[number]
        with Client(node.http) as client:
            return [
                client.request(
                    put(name, body, field)
                    if size is None
                    else put_chunked(name, chunks(body, size), field)
                ).status
                for name, field in [
                    (f"{target}.{number}", f"Content-MD5: {md5_of(body)}"),
                    (f"{target}.{number}.wrong", f"Content-MD5: {md5_of(wrong[number])}"),
                    (f"{target}.{number}", f"Content-MD5: {md5_of(body)}"),
                ]
            ]

    with ThreadPoolExecutor(len(bodies)) as clients:
        statuses = list(clients.map(upload, range(len(bodies))))
    assert statuses == [[201, 400, 201]] * len(bodies)
    for number, body in enumerate(bodies):
        assert node.path(f"{target}.{number}").read_bytes() == body
        node.path(f"{target}.{number}").unlink()
        assert not node.path(f"{target}.{number}.wrong").exists()


def test_digest_of_a_part_covers_the_part(node: Node, target: str) -> None:
    node.write(target, b"0123456789")
    part = put(target, b"abc", "Content-Range: bytes 3-5/*", f"Content-MD5: {md5_of(b'abc')}")
    with Client(node.http) as client:
        assert_created(client.request(part))
    assert node.path(target).read_bytes() == b"012abc6789"


def test_part_with_a_wrong_digest_stays_written(node: Node, target: str) -> None:
    part = put(target, b"abc", "Content-Range: bytes 1-3/*", WRONG)
    with Client(node.http) as client:
        assert_short(client.request(part), BAD_REQUEST, keep=True)
        assert_created(client.request(put(f"{target}.b", b"next")))
    assert node.path(target).read_bytes() == b"\0abc"
    assert stat.S_IMODE(node.path(target).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("second", "status"), [(RIGHT, 201), (WRONG, 400)], ids=["same", "another"]
)
def test_repeated_header(node: Node, target: str, second: str, status: int) -> None:
    with Client(node.http) as client:
        assert client.request(put(target, BODY, RIGHT, second)).status == status


def test_rounds_of_a_monitoring_tracker(node: Node) -> None:
    """Each round: write test, read back, and a digest that is wrong on purpose."""
    first = "Connection: Keep-Alive, keep-alive"
    with Client(node.http) as client:
        for number in range(10):
            connection = first if number == 0 else "Connection: keep-alive"
            written = f"/dev1/test-write/test-write-{number}"
            body = b"time=1795466436 rand=%d" % number
            assert_created(client.request(put(written, body, "Keep-Alive: 300", connection)))
            read = client.request(f"GET {written} HTTP/1.0\r\n{connection}\r\n\r\n".encode())
            assert (read.status, read.body, read.keeps) == (200, body, True)
            wrong = put("/dev1/test-write/test-md5", b".", connection, WRONG)
            assert_short(client.request(wrong), BAD_REQUEST, keep=True)
            client.expect_silence(0.02)
    assert traces(node, "/dev1/test-write/test-md5") == []
    # Nothing is wrong.
    assert not any("/test-write/" in line for line in node.stderr_lines())


@pytest.mark.parametrize(
    ("request_of", "promised"),
    [
        (lambda path: put(path, BODY, WRONG), WRONG.partition(" ")[2]),
        (lambda path: put(path, b"one", WRONG), WRONG.partition(" ")[2]),
    ],
    ids=["many", "with its head"],
)
def test_mismatch_is_logged_with_both_digests(
    request_of: Callable[[str], bytes], promised: str
) -> None:
    # Of a node that was used before, the limit may leave the line out.
    with Node() as node:
        with Client(node.http) as client:
            host, port = client.sock.getsockname()
            assert client.request(request_of("/dev1/logged")).status == 400
        body = b"one" if b"one" in request_of("/dev1/logged")[-3:] else BODY
        node.wait_for_log(
            rf"PUT /dev1/logged from {host}:{port}: Content-MD5 is {re.escape(promised)},"
            rf" but the MD5 of the body {re.escape(md5_of(body))}"
        )
