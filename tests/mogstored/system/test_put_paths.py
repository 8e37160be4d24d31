"""Which targets may be written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.puts import (
    BAD_REQUEST,
    FORBIDDEN,
    NOT_ALLOWED,
    assert_created,
    assert_refusal,
    assert_refused,
    put,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST = "/dev16777215/test-write/test-write-99"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A node with both listeners and the device of the highest number."""
    with Node(devices=("dev1", "dev16777215"), httpget=True) as node:
        yield node


def everything_below(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*"))


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "//",
        "/foo",
        "/foo/bar",
        "/de",
        "/dev",
        "/dev/foo",
        "/dev1",
        "/dev12",
        "/dev1/",
        "/dev1//",
        "/dev1/foo/",
        "/dev1a/foo",
        "/devx/foo",
        "/xdev1/foo",
        "/x/dev1/foo",
        "/dev-1/foo",
        "/dev1.5/foo",
        "/dev777/foo/",
        "/dev1/a_b",
        "/dev1/a%41",
        "/dev1/a?b",
        "/dev1/a~",
        "dev1/foo",
        "http://host",
        "ftp://host/dev1/foo",
        LONGEST + "9",
    ],
)
def test_target_of_no_file_on_a_device(node: Node, target: str) -> None:
    before = everything_below(node.docroot)
    assert_refused(node.http, put(target, b"content"), BAD_REQUEST)
    assert everything_below(node.docroot) == before


@pytest.mark.parametrize("target", ["/dev1/../dev1/foo", "/dev1/a..b", "/..", "/dev1/.."])
def test_target_with_two_dots(node: Node, target: str) -> None:
    before = everything_below(node.docroot)
    assert_refused(node.http, put(target, b"content"), FORBIDDEN)
    assert everything_below(node.docroot) == before


@pytest.mark.parametrize(
    ("target", "stored"),
    [
        ("/dev1/0", "dev1/0"),
        ("/dev1/.hidden", "dev1/.hidden"),
        ("/dev1/-", "dev1/-"),
        ("//dev1/two", "dev1/two"),
        ("////////////////////////////////////////dev1/many", "dev1/many"),
        ("/dev1//inner", "dev1/inner"),
        ("/dev1/a//b///c", "dev1/a/b/c"),
        ("http://example.org/dev1/absolute", "dev1/absolute"),
        ("http://127.0.0.1:7500/dev1/port", "dev1/port"),
        ("http://127.0.0.1:7500//dev1/slashes", "dev1/slashes"),
        (LONGEST, LONGEST[1:]),
    ],
)
def test_target_of_a_file(node: Node, target: str, stored: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put(target, target.encode())))
    assert (node.docroot / stored).read_bytes() == target.encode()


@pytest.mark.parametrize(
    "beginning",
    [
        b"PUT dev1",
        b"PUT  /",
        b"PUX",
        b"put",
        b"PUT\t",
        b"PUT /dev1/a_",
        b"PUT /dev1/a%",
        b"PUT " + LONGEST.encode() + b"9",
        b"PUT /dev1/a HTTP/2",
        b"PUT /dev1/a HTTP/1.2",
        b"PUT /dev1/a HTTP/1.1\n",
    ],
)
def test_hopeless_beginning_is_refused_before_its_line_ends(node: Node, beginning: bytes) -> None:
    assert_refused(node.http, beginning, BAD_REQUEST)


def test_get_only_listener_takes_no_upload(node: Node) -> None:
    assert node.httpget is not None
    assert_refused(node.httpget, put("/dev1/getonly", b"content"), NOT_ALLOWED)
    assert not node.path("/dev1/getonly").exists()


def test_get_only_listener_judges_itself_before_the_path(node: Node) -> None:
    assert node.httpget is not None
    assert_refused(node.httpget, put("/dev1/../up", b"content"), NOT_ALLOWED)
    assert_refused(node.httpget, put("/foo", b"content"), NOT_ALLOWED)


def test_get_only_listener_closes_after_an_upload_only(node: Node) -> None:
    assert node.httpget is not None
    with Client(node.httpget) as client:
        assert client.request(b"DELETE /dev1/none HTTP/1.1\r\n\r\n").keeps
        client.send(put("/dev1/getonly", b"content"))
        assert_refusal(client, NOT_ALLOWED)


def test_uploaded_file_is_read_at_the_get_only_listener(node: Node) -> None:
    assert node.httpget is not None
    with Client(node.http) as client:
        assert_created(client.request(put("/dev1/both", b"content")))
    with Client(node.httpget) as client:
        assert client.request(b"GET /dev1/both HTTP/1.0\r\n\r\n").body == b"content"
