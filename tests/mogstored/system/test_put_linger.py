"""A refused client that goes on writing can still read why, and cannot stay for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.arrival import wait_until_taken
from tests.support.http import Client
from tests.support.puts import (
    BAD_REQUEST,
    CHUNKED,
    LINGER_BYTES,
    NO_STORAGE,
    NOT_FOUND,
    SERVER_ERROR,
    assert_refusal,
    assert_serves,
    assert_short,
    put_chunked,
    put_head,
)
from tests.support.waiting import promptly, wait_until

if TYPE_CHECKING:
    from tests.support.daemon import Node

MIB = 1 << 20

REFUSED = [
    pytest.param("/dev666/f", [f"Content-Length: {MIB}"], NOT_FOUND, id="device"),
    pytest.param("/foo", [f"Content-Length: {MIB}"], BAD_REQUEST, id="path"),
    pytest.param("/dev1/f", [f"Content-Length: {2**63}"], NO_STORAGE, id="length"),
    pytest.param("/dev1/f", ["Content-MD5: x", CHUNKED], BAD_REQUEST, id="digest"),
    pytest.param("/dev1/plain/f", [f"Content-Length: {MIB}"], SERVER_ERROR, id="disk"),
]


@pytest.fixture(autouse=True)
def _plain_file(node: Node) -> None:
    node.write("/dev1/plain", b"no directory")


@pytest.mark.parametrize(("target", "fields", "status"), REFUSED)
def test_client_that_writes_on_for_a_while_gets_a_clean_end(
    node: Node, target: str, fields: list[str], status: str
) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, *fields))
        assert_refusal(client, status)
        # No error here: the node still reads.
        for _ in range(10):
            client.send(b"x" * 3072)
            wait_until_taken(client)


@pytest.mark.parametrize(("target", "fields", "status"), REFUSED)
def test_client_that_has_written_a_good_part_already_gets_a_clean_end(
    node: Node, target: str, fields: list[str], status: str
) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, *fields) + b"x" * (LINGER_BYTES // 2))
        assert_refusal(client, status)


@pytest.mark.parametrize(("target", "fields", "status"), REFUSED)
def test_client_that_writes_without_end_reads_the_status(
    node: Node, target: str, fields: list[str], status: str
) -> None:
    with Client(node.http) as client:
        client.send(put_head(target, *fields))
        # As with a real upload, the answer has been sent before the flood begins.
        wait_until_taken(client)
        _write_until_cut_off(client)
        assert_short(client.read_response(), status, keep=False)


def test_client_of_a_broken_chunk_reads_the_status(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.send(put_chunked(target, b"5\r\nhelloX"))
        wait_until_taken(client)
        _write_until_cut_off(client)
        assert_short(client.read_response(), BAD_REQUEST, keep=False)


def test_client_that_does_nothing_is_closed_in_the_end(node: Node) -> None:
    before = node.process.num_fds()

    def be_closed() -> None:
        with Client(node.http) as client:
            client.send(put_head("/dev666/f", "Content-Length: 5"))
            assert_refusal(client, NOT_FOUND)
            wait_until(lambda: node.process.num_fds() <= before, "the node closed its end")

    # It lingers for a second.
    promptly(be_closed, 6.0)


def test_client_that_trickles_is_closed_in_the_end(node: Node) -> None:
    with Client(node.http) as client:
        client.send(put_head("/dev666/f", f"Content-Length: {MIB}"))
        assert_refusal(client, NOT_FOUND)
        wait_until(lambda: _is_cut_off(client), "the node closed its end")


def test_lingering_does_not_hold_up_others(node: Node) -> None:
    clients = [Client(node.http) for _ in range(40)]
    try:
        for client in clients:
            client.send(put_head("/dev666/f", f"Content-Length: {MIB}"))
        for client in clients:
            assert_refusal(client, NOT_FOUND)
            assert_serves(node)
    finally:
        for client in clients:
            client.close()


def _write_until_cut_off(client: Client) -> None:
    try:
        for _ in range(1000):
            client.send(b"x" * LINGER_BYTES)
    except (BrokenPipeError, ConnectionResetError):
        return
    raise AssertionError("the node reads everything")


def _is_cut_off(client: Client) -> bool:
    try:
        client.send(b"x")
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False
