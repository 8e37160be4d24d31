"""The root of the node: the health probe that `mogadm check` sends."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, ask, compose

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(httpget=True) as node:
        yield node


@pytest.fixture(params=["http", "httpget"])
def addr(node: Node, request: pytest.FixtureRequest) -> tuple[str, int]:
    found: tuple[str, int] = getattr(node, request.param)
    return found


@pytest.mark.parametrize("target", ["/", "//", "////", "http://host/", "http://host:7500//"])
def test_root_is_an_empty_file_of_1970(addr: tuple[str, int], target: str) -> None:
    answer = ask(addr, compose("GET", target))
    assert answer.status == 200
    assert answer.header("Content-Length") == "0"
    assert answer.header("Last-Modified") == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_head_of_root_equals_get(addr: tuple[str, int]) -> None:
    with Client(addr) as client:
        get = client.request(compose("GET", "/"))
        head = client.request(compose("HEAD", "/"), head=True)
    got, headed = dict(get.headers), dict(head.headers)
    del got["Date"], headed["Date"]
    assert headed == got


def test_date_is_the_time_of_the_answer(node: Node) -> None:
    began = time.time()
    date = ask(node.http, compose("GET", "/")).header("Date")
    assert date is not None
    assert began - 2 < parsedate_to_datetime(date).timestamp() <= time.time()


@pytest.mark.parametrize(
    ("value", "status"),
    [("bytes=0-", 416), ("bytes=0-0", 416), ("bytes=-5", 200), ("bytes=-0", 416)],
)
def test_range_on_root_is_one_on_an_empty_file(node: Node, value: str, status: int) -> None:
    answer = ask(node.http, compose("GET", "/", f"Range: {value}"))
    assert answer.status == status
    assert answer.header("Content-Range") == ("bytes */0" if status == 416 else None)


def test_probe_of_mogadm_is_answered_and_closed(node: Node) -> None:
    with Client(node.http) as client:
        answer = client.request(
            compose(
                "GET",
                "//",
                "TE: deflate,gzip;q=0.3",
                "Connection: TE, close",
                f"Host: {node.http[0]}:{node.http[1]}",
                "User-Agent: mogadm",
            )
        )
        assert answer.status == 200
        assert answer.header("Connection") == "close"
        client.read_eof()
