"""Clients that disappear in the middle of an upload."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.arrival import wait_until_taken
from tests.support.backend import OVER_LIBKQUEUE
from tests.support.http import Client
from tests.support.puts import (
    CHUNKED,
    assert_created,
    assert_serves,
    put,
    put_head,
    wait_until_alone,
    wait_until_begun,
    wait_until_untouched,
)
from tests.support.sockets import reset

if TYPE_CHECKING:
    from tests.support.daemon import Node

EARLY_END = "premature EOF"
RESET = os.strerror(errno.ECONNRESET)
LENGTH = "Content-Length: 100"

# Bytes sent behind the head, and how many of them are content.
BEGINNINGS = [
    pytest.param([LENGTH], b"", 0, id="no-byte"),
    pytest.param([LENGTH], b"x", 1, id="one-byte"),
    pytest.param([LENGTH], b"x" * 99, 99, id="all-but-one"),
    pytest.param([CHUNKED], b"", 0, id="no-chunk"),
    pytest.param([CHUNKED], b"5", 0, id="chunk-size"),
    pytest.param([CHUNKED], b"5\r\n", 0, id="before-data"),
    pytest.param([CHUNKED], b"5\r\nhel", 3, id="in-data"),
    pytest.param([CHUNKED], b"5\r\nhello", 5, id="after-data"),
    pytest.param([CHUNKED], b"5\r\nhello\r\n3;ext\r\nab", 7, id="second-chunk"),
    pytest.param([CHUNKED], b"5\r\nhello\r\n0\r\n", 5, id="before-trailer"),
    pytest.param([CHUNKED], b"5\r\nhello\r\n0\r\nX-T: v\r\n\r", 5, id="in-trailer"),
]


def _expect_lines(node: Node, path: str, port: int, count: int, why: str) -> None:
    """Expect the two lines about this client and path, once each."""
    peer = f"127.0.0.1:{port}"
    wanted = [f"mogstored[{node.pid}]: PUT {path} failed from {peer} after {count} bytes: {why}"]
    node.wait_for_log(re.escape(f"PUT {path} failed from {peer} "))
    if sys.platform.startswith("linux"):
        wanted.append(f"mogstored[{node.pid}]: last_data_recv=-ms from {peer} for PUT {path}")
        node.wait_for_log(re.escape(f" from {peer} for PUT {path}") + "$")
    about = [line for line in node.stderr_lines() if f" {peer} " in line and path in line]
    if OVER_LIBKQUEUE and why == RESET:
        # The error may be consumed before the node sees it.
        about = [line.replace(EARLY_END, RESET) for line in about]
    assert [re.sub(r"=[0-9]+ms ", "=-ms ", line) for line in about] == wanted


@pytest.mark.parametrize(("fields", "begun", "count"), BEGINNINGS)
def test_half_close_gets_a_clean_end_and_two_log_lines(
    node: Node, target: str, fields: list[str], begun: bytes, count: int
) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, *fields) + begun)
        client.sock.shutdown(socket.SHUT_WR)
        client.read_eof()
        _expect_lines(node, target, client.sock.getsockname()[1], count, EARLY_END)
    wait_until_untouched(node, target)


@pytest.mark.parametrize(("fields", "begun", "count"), BEGINNINGS)
def test_replaced_file_is_unchanged_after_an_abort(
    node: Node, target: str, fields: list[str], begun: bytes, count: int
) -> None:
    node.write(target, b"old")
    with Client(node.http) as client:
        client.send(put_head(target, *fields) + begun)
        client.sock.shutdown(socket.SHUT_WR)
        client.read_eof()
    wait_until_alone(node, target)
    assert node.path(target).read_bytes() == b"old"


def test_client_that_closes(node: Node, target: str) -> None:
    with Client(node.http) as client:
        _, port = client.sock.getsockname()
        client.send(put_head(target, LENGTH) + b"some")
        wait_until_begun(node, target)
    _expect_lines(node, target, port, 4, EARLY_END)
    wait_until_untouched(node, target)


@pytest.mark.parametrize(("fields", "begun", "count"), BEGINNINGS)
def test_client_that_resets(
    node: Node, target: str, fields: list[str], begun: bytes, count: int
) -> None:
    with Client(node.http) as client:
        _, port = client.sock.getsockname()
        client.send(put_head(target, *fields) + begun)
        wait_until_begun(node, target)
        wait_until_taken(client)
        reset(client.sock)
    _expect_lines(node, target, port, count, RESET)
    wait_until_untouched(node, target)


@pytest.mark.parametrize("prefix", ["http://example.org:7500", "//", "http://h//"])
def test_log_has_the_path_only(node: Node, target: str, prefix: str) -> None:
    with Client(node.http) as client:
        client.send(put_head(prefix + target, LENGTH) + b"some")
        client.sock.shutdown(socket.SHUT_WR)
        client.read_eof()
        _expect_lines(node, target, client.sock.getsockname()[1], 4, EARLY_END)


def test_offset_of_a_part_is_counted(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, "Content-Range: bytes 1000-1099/*", LENGTH) + b"some")
        client.sock.shutdown(socket.SHUT_WR)
        client.read_eof()
        _expect_lines(node, target, client.sock.getsockname()[1], 1004, EARLY_END)


def test_abort_behind_a_complete_upload(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.send(put(f"{target}.a", b"whole") + put_head(f"{target}.b", LENGTH) + b"some")
        client.sock.shutdown(socket.SHUT_WR)
        assert_created(client.read_response())
        client.read_eof()
        _expect_lines(node, f"{target}.b", client.sock.getsockname()[1], 4, EARLY_END)
    assert node.path(f"{target}.a").read_bytes() == b"whole"
    assert not node.path(f"{target}.b").exists()


def test_directories_made_for_it_may_stay_but_no_file(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.send(put_head(f"{target}/a/b", LENGTH) + b"some")
        client.sock.shutdown(socket.SHUT_WR)
        client.read_eof()
    wait_until_untouched(node, f"{target}/a/b")


@pytest.mark.parametrize("begun", ["P", "PUT /dev1/f", "PUT /dev1/f HTTP/1.1\r\nContent-Le"])
def test_abort_within_the_header_is_not_logged(node: Node, begun: str) -> None:
    with Client(node.http) as client:
        _, port = client.sock.getsockname()
        client.send(begun.encode())
        client.sock.shutdown(socket.SHUT_WR)
        client.read_eof()
    # A request of its own, answered: what would have been logged is there by now.
    assert_serves(node)
    assert [line for line in node.stderr_lines() if f":{port} " in line] == []
