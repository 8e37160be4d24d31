"""The Range field of GET and HEAD, case by case, with the expected bytes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client, ask, compose

if TYPE_CHECKING:
    from tests.support.daemon import Node

CONTENT = random.Random(666).randbytes(666)
BEYOND_63_BITS = str(2**63)
BEYOND_64_BITS = "9" * 40

PARTS = [
    ("bytes=66-70", 66, 70),
    ("bytes=66-", 66, 665),
    ("bytes=-66", 600, 665),
    ("bytes=5-6666", 5, 665),
    ("bytes=-666", 0, 665),
    ("bytes=0-", 0, 665),
    ("bytes=0-0", 0, 0),
    ("bytes=-1", 665, 665),
    ("bytes=665-", 665, 665),
    ("bytes=665-665", 665, 665),
    ("bytes=0-665", 0, 665),
    ("bytes=0-666", 0, 665),
    ("bytes=00066-0070", 66, 70),
    (f"bytes=600-{2**63 - 1}", 600, 665),
    (f"bytes=600-{BEYOND_63_BITS}", 600, 665),
    (f"bytes=600-{BEYOND_64_BITS}", 600, 665),
]

NOTHING = [
    "bytes=666-",
    "bytes=666-666",
    "bytes=6666-",
    "bytes=662-226",
    "bytes=6666-7777",
    "bytes=-",
    "bytes=-0",
    "bytes=-000",
    f"bytes={2**63 - 1}-",
    f"bytes={BEYOND_63_BITS}-",
    f"bytes={BEYOND_64_BITS}-",
    f"bytes={BEYOND_64_BITS}-{BEYOND_64_BITS}",
]

EVERYTHING = [
    "bytes=-667",
    f"bytes=-{2**63 - 1}",
    f"bytes=-{BEYOND_63_BITS}",
    f"bytes=-{BEYOND_64_BITS}",
    # Several ranges are not supported, so the field counts as absent.
    "bytes=0-1,3-4",
    "bytes=0-1,-5",
]

REFUSED = [
    "bytes=4qasdlkj",
    "bytes=323",
    "bytes=-5-5",
    "bytes=",
    "bytes",
    "bytes=abc",
    "bytes=0x1-0x5",
    "bytes=+1-5",
    "bytes=1--5",
    "bytes=1-5;",
    "bytes=1-5 6",
    "bytes=1 -5",
    "bytes= 1-5",
    "bytes =1-5",
    "bytes:1-5",
    "Bytes=1-5",
    "BYTES=1-5",
    "lines=1-2",
    "1-5",
    "=1-5",
    "",
]


@pytest.fixture(scope="module", autouse=True)
def files(node: Node) -> None:
    node.write("/dev1/range", CONTENT)
    node.write("/dev1/empty", b"")


@pytest.mark.parametrize(("value", "first", "last"), PARTS)
def test_part(node: Node, value: str, first: int, last: int) -> None:
    answer = ask(node.http, compose("GET", "/dev1/range", f"Range: {value}"))
    assert answer.status == 206
    assert answer.header("Content-Range") == f"bytes {first}-{last}/666"
    assert answer.body == CONTENT[first : last + 1]


@pytest.mark.parametrize("value", NOTHING)
def test_range_without_a_byte(node: Node, value: str) -> None:
    with Client(node.http) as client:
        answer = client.request(compose("GET", "/dev1/range", f"Range: {value}"))
        assert answer.status == 416
        assert answer.header("Content-Range") == "bytes */666"
        assert answer.body == b""
        assert client.request(compose("GET", "/dev1/range")).body == CONTENT


@pytest.mark.parametrize("value", EVERYTHING)
def test_whole_file_after_all(node: Node, value: str) -> None:
    answer = ask(node.http, compose("GET", "/dev1/range", f"Range: {value}"))
    assert answer.status == 200
    assert answer.header("Content-Range") is None
    assert answer.body == CONTENT


@pytest.mark.parametrize("value", REFUSED)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_malformed(node: Node, method: str, value: str) -> None:
    answer = ask(node.http, compose(method, "/dev1/range", f"Range: {value}"))
    assert (answer.status, answer.keeps) == (400, False)


@pytest.mark.parametrize(
    ("value", "status"),
    [("bytes=0-", 416), ("bytes=0-5", 416), ("bytes=-5", 200), ("bytes=-0", 416)],
)
def test_empty_file(node: Node, value: str, status: int) -> None:
    answer = ask(node.http, compose("GET", "/dev1/empty", f"Range: {value}"))
    assert answer.status == status
    assert answer.header("Content-Length") == "0"
    assert answer.header("Content-Range") == ("bytes */0" if status == 416 else None)


@pytest.mark.parametrize("value", [value for value, _, _ in PARTS] + NOTHING + EVERYTHING)
def test_head_says_what_get_says(node: Node, value: str) -> None:
    with Client(node.http) as client:
        request = compose("GET", "/dev1/range", f"Range: {value}")
        get = client.request(request)
        head = client.request(request.replace(b"GET", b"HEAD", 1), head=True)
        assert (head.status, head.reason) == (get.status, get.reason)
        assert _without_date(head.headers) == _without_date(get.headers)
        # A body would stand where the next answer's head is expected.
        assert client.request(compose("GET", "/")).status == 200


@pytest.mark.parametrize(
    "field",
    [
        "Range:bytes=1-2",
        "Range: \t bytes=1-2",
        "Range: bytes=1-2 \t",
        "range: bytes=1-2",
        "RANGE: bytes=1-2",
    ],
)
def test_spelling_of_the_field(node: Node, field: str) -> None:
    answer = ask(node.http, compose("GET", "/dev1/range", field))
    assert (answer.status, answer.body) == (206, CONTENT[1:3])


def test_range_of_a_missing_file_is_404(node: Node) -> None:
    assert ask(node.http, compose("GET", "/dev1/none", "Range: bytes=0-1")).status == 404


def test_range_of_a_directory_is_403(node: Node) -> None:
    assert ask(node.http, compose("GET", "/dev1", "Range: bytes=0-1")).status == 403


def test_range_holds_for_its_request_only(node: Node) -> None:
    with Client(node.http) as client:
        assert client.request(compose("GET", "/dev1/range", "Range: bytes=1-2")).status == 206
        assert client.request(compose("GET", "/dev1/range")).status == 200


def _without_date(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [field for field in headers if field[0] != "Date"]


@pytest.mark.parametrize("field", ["Range: foo", "Range: bytes=0-1,3-4", "Range: bytes=1-1-1"])
@pytest.mark.parametrize(("method", "status"), [("DELETE", 204), ("PUT", 201), ("MKCOL", 400)])
def test_methods_without_ranges_ignore_the_field(
    node: Node, target: str, method: str, status: int, field: str
) -> None:
    """Even two different ones."""
    with Client(node.http) as client:
        for fields in ((field,), (field, "Range: bytes=1-")):
            node.write(target, CONTENT)
            answer = client.request(compose(method, target, *fields, "Content-Length: 0"))
            assert (answer.status, answer.keeps) == (status, True)
