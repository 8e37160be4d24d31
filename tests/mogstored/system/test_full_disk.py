"""A device whose file system is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.disks import free_bytes, node_with_small_disk
from tests.support.http import Client
from tests.support.puts import (
    CHUNKED,
    NO_STORAGE,
    assert_created,
    assert_refused,
    assert_short,
    chunk,
    put,
    put_head,
    traces,
)
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIB = 1024
DISK = "/dev2"
SIZE = 1024 * KIB


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[Node]:
    """A node whose dev2 holds one megabyte."""
    with node_with_small_disk(tmp_path / "disk", f"size={SIZE}") as node:
        yield node


def _free(node: Node) -> int:
    return free_bytes(node.path(DISK))


def _wait_until_given_back(node: Node, free: int) -> None:
    wait_until(lambda: _free(node) == free, "the room of the failed upload is free again")


def _upload_too_much(node: Node, head: bytes, body: bytes) -> None:
    """Expect the refusal, even while writing; the connection may end in a reset."""
    with Client(node.http) as client:
        try:
            client.send(head + body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert_short(client.read_response(), NO_STORAGE, keep=False)
        try:
            rest = client.read_to_eof()
        except ConnectionResetError:
            rest = b""
        assert rest == b""


def _with_length(target: str, body: bytes) -> tuple[bytes, bytes]:
    return put_head(target, f"Content-Length: {len(body)}"), body


def _in_chunks(target: str, body: bytes) -> tuple[bytes, bytes]:
    pieces = [chunk(body[at : at + 16 * KIB]) for at in range(0, len(body), 16 * KIB)]
    return put_head(target, CHUNKED), b"".join(pieces)


def _upload(form: str, target: str, body: bytes) -> tuple[bytes, bytes]:
    return _with_length(target, body) if form == "counted" else _in_chunks(target, body)


FORMS = pytest.mark.parametrize("form", ["counted", "chunked"])


@FORMS
def test_upload_that_does_not_fit(tight: Node, form: str) -> None:
    free = _free(tight)
    _upload_too_much(tight, *_upload(form, "/dev2/f", b"x" * (2 * SIZE)))
    _wait_until_given_back(tight, free)
    assert traces(tight, "/dev2/f") == []


def test_upload_that_is_a_little_too_large_gets_a_clean_end(tight: Node) -> None:
    # Few enough bytes are left that all of them are read and dropped.
    head, body = _in_chunks("/dev2/f", b"x" * (SIZE + 32 * KIB))
    assert_refused(tight.http, head + body, NO_STORAGE)


@FORMS
def test_old_file_stays(tight: Node, form: str) -> None:
    tight.write("/dev2/f", b"old")
    free = _free(tight)
    _upload_too_much(tight, *_upload(form, "/dev2/f", b"x" * (2 * SIZE)))
    _wait_until_given_back(tight, free)
    assert traces(tight, "/dev2/f") == ["f"]
    assert tight.path("/dev2/f").read_bytes() == b"old"


def test_other_device_goes_on(tight: Node) -> None:
    with Client(tight.http) as kept:
        assert_created(kept.request(put("/dev1/before", b"x")))
        _upload_too_much(tight, *_with_length("/dev2/f", b"x" * (2 * SIZE)))
        assert_created(kept.request(put("/dev1/after", b"x" * (2 * SIZE))))


def test_room_that_was_freed_is_used(tight: Node) -> None:
    half = b"x" * (600 * KIB)
    with Client(tight.http) as client:
        assert_created(client.request(put("/dev2/first", half)))
        _upload_too_much(tight, *_with_length("/dev2/second", half))
        assert client.request(b"DELETE /dev2/first HTTP/1.1\r\n\r\n").status == 204
        wait_until(lambda: _free(tight) >= len(half), "the deleted file's room is free")
        assert_created(client.request(put("/dev2/second", half)))
    assert tight.path("/dev2/second").read_bytes() == half


def test_part_that_does_not_fit(tight: Node) -> None:
    body = b"x" * (2 * SIZE)
    fields = [f"Content-Range: bytes 0-{len(body) - 1}/*", f"Content-Length: {len(body)}"]
    _upload_too_much(tight, put_head("/dev2/f", *fields), body)
    # The part that fitted stays, under its own name.
    assert traces(tight, "/dev2/f") == ["f"]


def test_no_room_for_another_file(tmp_path: Path) -> None:
    # One inode is the root directory's.
    with node_with_small_disk(tmp_path / "disk", "size=1m,nr_inodes=3") as node:
        with Client(node.http) as client:
            for number in range(2):
                assert_created(client.request(put(f"/dev2/{number}", b"")))
        assert_refused(node.http, put("/dev2/more", b"x"), NO_STORAGE)
        with Client(node.http) as client:
            assert_created(client.request(put("/dev1/more", b"x")))
            assert client.request(b"DELETE /dev2/0 HTTP/1.1\r\n\r\n").status == 204
            assert_created(client.request(put("/dev2/more", b"x")))
