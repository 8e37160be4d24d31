"""GET and HEAD of whole files: length, time, body, and ignored fields."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client, ask, compose
from tests.support.waiting import promptly, wait_until

if TYPE_CHECKING:
    from tests.support.daemon import Node


@pytest.mark.parametrize("size", [0, 1, 599, 65536, 300_000, 3_000_001])
def test_body_is_the_file(node: Node, target: str, size: int) -> None:
    content = os.urandom(size)
    node.write(target, content)
    answer = ask(node.http, compose("GET", target))
    assert answer.status == 200
    assert answer.header("Content-Length") == str(size)
    assert answer.body == content


@pytest.mark.parametrize("size", [0, 5, 1_000_000])
def test_head_announces_the_size_and_sends_no_body(node: Node, target: str, size: int) -> None:
    node.write(target, b"x" * size)
    with Client(node.http) as client:
        answer = client.request(compose("HEAD", target), head=True)
        assert answer.header("Content-Length") == str(size)
        # A body would stand where the next answer's head is expected.
        assert client.request(compose("GET", "/")).status == 200


@pytest.mark.parametrize(
    ("mtime_ns", "date"),
    [
        (784111777_000000000, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (784111777_900000000, "Sun, 06 Nov 1994 08:49:37 GMT"),
        # Rounds up to the next second as a floating-point number.
        (1767225599_999999999, "Wed, 31 Dec 2025 23:59:59 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951782400_000000000, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (4102444800_000000000, "Fri, 01 Jan 2100 00:00:00 GMT"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_last_modified_is_the_mtime_in_whole_seconds(
    node: Node, target: str, method: str, mtime_ns: int, date: str
) -> None:
    path = node.write(target, b"dated")
    os.utime(path, ns=(0, mtime_ns))
    if path.stat().st_mtime_ns != mtime_ns:
        pytest.skip("the file system does not keep nanoseconds")
    assert ask(node.http, compose(method, target)).header("Last-Modified") == date


def test_size_and_time_follow_the_file(node: Node, target: str) -> None:
    path = node.write(target, b"short")
    os.utime(path, (0, 1000))
    with Client(node.http) as client:
        before = client.request(compose("GET", target))
        node.write(target, b"rather longer")
        os.utime(path, (0, 2000))
        after = client.request(compose("GET", target))
    assert [before.body, after.body] == [b"short", b"rather longer"]
    assert before.header("Last-Modified") != after.header("Last-Modified")


def test_file_that_appears_is_found_on_the_same_connection(node: Node, target: str) -> None:
    with Client(node.http) as client:
        assert client.request(compose("GET", target)).status == 404
        node.write(target, b"here now")
        assert client.request(compose("GET", target)).body == b"here now"


def test_missing_file_has_no_body(node: Node) -> None:
    answer = ask(node.http, compose("GET", "/dev1/missing"))
    assert (answer.status, answer.header("Content-Length"), answer.keeps) == (404, "0", True)


@pytest.mark.parametrize(
    "field",
    [
        "If-Modified-Since: {date}",
        "If-None-Match: *",
        'If-Range: "anything"',
        "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
        "Accept-Encoding: gzip",
        "Expect: 100-continue",
    ],
)
def test_conditions_are_ignored(node: Node, target: str, field: str) -> None:
    node.write(target, b"all of it")
    date = ask(node.http, compose("HEAD", target)).header("Last-Modified")
    answer = ask(node.http, compose("GET", target, field.format(date=date)))
    assert (answer.status, answer.body) == (200, b"all of it")


def test_if_range_does_not_switch_a_range_off(node: Node, target: str) -> None:
    node.write(target, b"0123456789")
    fields = ("If-Range: Thu, 01 Jan 1970 00:00:00 GMT", "Range: bytes=2-4")
    answer = ask(node.http, compose("GET", target, *fields))
    assert (answer.status, answer.body) == (206, b"234")


@pytest.mark.skipif(not hasattr(os, "O_NOATIME"), reason="only Linux can read so")
def test_reading_leaves_the_access_time_alone(node: Node, target: str) -> None:
    path = node.write(target, b"read me")
    # Older than the mtime: the usual mount options would move it forward.
    os.utime(path, (1000, 2000))
    assert ask(node.http, compose("GET", target)).body == b"read me"
    assert path.stat().st_atime == 1000


def test_date_moves_on(node: Node) -> None:
    """The date is cached for a second, and not for longer."""
    with Client(node.http) as client:

        def date() -> str | None:
            return client.request(compose("HEAD", "/"), head=True).header("Date")

        first = date()
        wait_until(lambda: date() != first, "the next second")


def test_small_answers_are_not_held_back(node: Node, target: str) -> None:
    """A kernel that waits for more bytes, or for an acknowledgement, adds 40 ms to 5 s to each."""
    node.write(target, b"x" * 10_000)
    with Client(node.http) as client:

        def ask_for_two(method: str) -> None:
            client.request(compose(method, target), head=method == "HEAD")
            client.request(compose("GET", "/dev1/missing"))

        for method in ("GET", "HEAD"):
            promptly(partial(ask_for_two, method), 0.04)
