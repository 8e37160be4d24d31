"""Uploads and the usage record of their device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import node_with_small_disk
from tests.support.http import Client
from tests.support.puts import assert_created, put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.daemon import Node

KIB = 1024
CONTENT = b"x" * (8 * KIB * KIB)
# The timer does not run during a test.
NO_ROUND = {"MOG_DISK_USAGE_INTERVAL": "1000"}


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Node]:
    """A node that keeps usage records, whose dev2 changes only by what a test does."""
    with node_with_small_disk(tmp_path / "disk", "size=64m", mgmt=True, env=NO_ROUND) as node:
        yield node


def _recorded_kib(client: Client) -> int:
    """Return the use according to the record."""
    body = client.request(b"GET /dev2/usage HTTP/1.1\r\n\r\n").body
    return int(dict(line.split(": ") for line in body.decode().splitlines())["used"])


def _used_kib(node: Node) -> int:
    """Return the use according to the file system, in a record's unit."""
    state = os.statvfs(node.path("/dev2"))
    # Trackers take a record with a zero as a failing device, so none has one.
    return max(1, (state.f_blocks - state.f_bfree) * state.f_frsize // KIB)


def test_record_is_fresh_after_an_upload_and_a_delete(measured: Node) -> None:
    with Client(measured.http) as client:
        assert_created(client.request(put("/dev2/f", CONTENT)))
        assert _recorded_kib(client) == _used_kib(measured) >= len(CONTENT) // KIB
        assert client.request(b"DELETE /dev2/f HTTP/1.1\r\n\r\n").status == 204
        assert _recorded_kib(client) == _used_kib(measured) < len(CONTENT) // KIB


def test_upload_does_not_write_the_usage_file(measured: Node) -> None:
    file = measured.path("/dev2/usage")
    before = file.read_bytes(), file.stat().st_ino
    with Client(measured.http) as client:
        assert_created(client.request(put("/dev2/f", CONTENT)))
        _recorded_kib(client)
    assert (file.read_bytes(), file.stat().st_ino) == before


def test_usage_is_a_name_like_any_other(node: Node) -> None:
    get = b"GET /dev1/usage HTTP/1.1\r\n\r\n"
    with Client(node.http) as client:
        assert client.request(get).status == 404
        assert_created(client.request(put("/dev1/usage", b"by hand")))
        assert client.request(get).body == b"by hand"
        assert client.request(b"DELETE /dev1/usage HTTP/1.1\r\n\r\n").status == 204
        assert client.request(get).status == 404
