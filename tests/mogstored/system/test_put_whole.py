"""PUT of a whole file: what is stored, answered and left in the directory."""

from __future__ import annotations

import re
import stat
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.arrival import wait_until_taken
from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.puts import (
    BAD_REQUEST,
    CHUNKED,
    NO_STORAGE,
    NOT_FOUND,
    assert_created,
    assert_refused,
    md5_of,
    put,
    put_head,
    traces,
    wait_until_alone,
    wait_until_begun,
)
from tests.support.slow_disk import slow_disk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

EVERY_BYTE = bytes(range(256)) * 64


def test_new_file_is_created(node: Node, target: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put(target, EVERY_BYTE)))
    assert node.path(target).read_bytes() == EVERY_BYTE


@pytest.mark.parametrize("body", [b"", b"short", EVERY_BYTE], ids=["empty", "shorter", "longer"])
def test_replaced_file_is_answered_like_a_new_one(node: Node, target: str, body: bytes) -> None:
    node.write(target, b"something of medium length")
    with Client(node.http) as client:
        assert_created(client.request(put(target, body)))
    assert node.path(target).read_bytes() == body


def test_nothing_but_the_file_is_left(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.request(put(target, b"x"))
    wait_until_alone(node, target)


def test_empty_body(node: Node, target: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put(target, b"")))
    assert node.path(target).read_bytes() == b""


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_no_content_length_makes_an_empty_file(node: Node, target: str, version: str) -> None:
    request = put_head(target, "Connection: keep-alive", version=version)
    with Client(node.http) as client:
        assert_created(client.request(request))
        # The bytes behind the head are the next request, not a body.
        assert client.request(b"GET / HTTP/1.1\r\n\r\n").status == 200
    assert node.path(target).read_bytes() == b""


@pytest.mark.parametrize("digest", ["", f"Content-MD5: {md5_of(EVERY_BYTE)}\r\n"])
def test_header_of_a_replicating_tracker(node: Node, target: str, digest: str) -> None:
    head = (
        f"PUT {target} HTTP/1.0\r\nConnection: keep-alive\r\n"
        f"Content-length: {len(EVERY_BYTE)}\r\n{digest}\r\n"
    ).encode()
    with Client(node.http) as client:
        assert_created(client.request(head + EVERY_BYTE))
        assert_created(client.request(head + EVERY_BYTE))
    assert node.path(target).read_bytes() == EVERY_BYTE


def test_upload_into_directories_that_do_not_exist(node: Node) -> None:
    target = "/dev1/0/000/148/0000148056.fid"
    request = put(target, b"content", "Content-Type: application/octet-stream")
    with Client(node.http) as client:
        assert_created(client.request(request))
        assert client.request(f"GET {target} HTTP/1.1\r\n\r\n".encode()).body == b"content"


def test_upload_into_directories_of_which_some_exist(node: Node) -> None:
    (node.docroot / "dev2/1/002").mkdir(parents=True)
    with Client(node.http) as client:
        assert_created(client.request(put("/dev2/1/002/003/f.fid", b"deep")))
    assert (node.docroot / "dev2/1/002/003/f.fid").read_bytes() == b"deep"


def test_many_uploads_into_one_new_directory(node: Node, target: str) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(node.http)) for _ in range(30)]
        for number, client in enumerate(clients):
            client.send(put(f"{target}/a/b/{number}", b"%d" % number))
        for client in clients:
            assert_created(client.read_response())
    stored = {int(file.name): file.read_bytes() for file in node.path(f"{target}/a/b").iterdir()}
    assert stored == {number: b"%d" % number for number in range(30)}


def test_missing_device_is_never_made(node: Node) -> None:
    before = sorted(node.docroot.iterdir())
    assert_refused(node.http, put("/dev666/file", b"content"), NOT_FOUND)
    assert_refused(node.http, put("/dev666/0/000/file", b"content"), NOT_FOUND)
    assert sorted(node.docroot.iterdir()) == before


def test_device_may_be_a_symbolic_link(node: Node, tmp_path: Path) -> None:
    (node.docroot / "dev77").symlink_to(tmp_path)
    with Client(node.http) as client:
        assert_created(client.request(put("/dev77/a/b", b"elsewhere")))
    assert (tmp_path / "a/b").read_bytes() == b"elsewhere"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Content-Length: abc"], BAD_REQUEST),
        (["Content-Length: 9223372036854775808"], NO_STORAGE),
        (["Content-Length: 5", CHUNKED], BAD_REQUEST),
        (["Content-Length: 5", "Content-Range: bytes 9-5/*"], BAD_REQUEST),
        (["Content-Length: 5", "Content-Range: bytes 5-99/*"], BAD_REQUEST),
        (["Content-Length: 5", "Content-Range: bytes 0-99999999999999999999/*"], NO_STORAGE),
        ([CHUNKED, "Content-Range: bytes 0-4/*"], BAD_REQUEST),
        (["Content-Length: 5", "Content-MD5: no"], BAD_REQUEST),
    ],
)
def test_refused_header_leaves_no_directory(
    node: Node, target: str, fields: list[str], status: str
) -> None:
    assert_refused(node.http, put_head(f"{target}/a/b", *fields), status)
    assert not node.path(target).exists()


def test_upload_cannot_be_read_until_it_is_complete(node: Node, target: str) -> None:
    with Client(node.http) as client, Client(node.http) as reader:
        client.send(put_head(target, "Content-Length: 8") + b"half")
        wait_until_begun(node, target)
        wait_until_taken(client)
        assert reader.request(f"GET {target} HTTP/1.1\r\n\r\n".encode()).status == 404
        assert_created(client.request(b"done"))
    assert node.path(target).read_bytes() == b"halfdone"
    wait_until_alone(node, target)


def test_temporary_file_where_none_can_be_made_without_a_name(tmp_path: Path) -> None:
    """A FUSE file system without that operation."""
    with slow_disk(tmp_path / "disk") as disk, Node(devices=()) as node:
        (node.docroot / "dev1").symlink_to(disk.path)
        with Client(node.http) as client, Client(node.http) as reader:
            client.send(put_head("/dev1/file", "Content-Length: 8") + b"half")
            wait_until(lambda: traces(node, "/dev1/file") != [], "a temporary file")
            wait_until_taken(client)
            (name,) = traces(node, "/dev1/file")
            assert re.fullmatch(rf"file\.[0-9a-f]{{8}}\.{node.pid}\.tmp", name)
            assert stat.S_IMODE((disk.path / name).stat().st_mode) == 0o600
            assert reader.request(b"GET /dev1/file HTTP/1.1\r\n\r\n").status == 404
            assert_created(client.request(b"done"))
            assert_created(client.request(put("/dev1/whole", b"whole")))
        assert (disk.path / "file").read_bytes() == b"halfdone"
        assert traces(node, "/dev1/file") == ["file"]
        assert {each.name for each in disk.path.iterdir()} - {"usage"} == {"file", "whole"}


def test_two_uploads_of_one_target_do_not_mix(node: Node, target: str) -> None:
    with Client(node.http) as first, Client(node.http) as second:
        first.send(put_head(target, "Content-Length: 8") + b"firs")
        second.send(put_head(target, "Content-Length: 8") + b"2222")
        wait_until_taken(first)
        assert_created(second.request(b"2222"))
        assert node.path(target).read_bytes() == b"22222222"
        assert_created(first.request(b"t..."))
        assert node.path(target).read_bytes() == b"first..."


def test_modification_time_is_that_of_the_upload(node: Node, target: str) -> None:
    began = time.time()
    with Client(node.http) as client:
        client.request(put(target, b"x"))
    # The kernel's clock for files may be a tick behind.
    assert began - 1 <= node.path(target).stat().st_mtime <= time.time()


def test_modes_follow_the_umask() -> None:
    with Node(wrapper=["sh", "-c", 'umask 027 && exec "$@"', "sh"]) as node:
        node.write("/dev1/old", b"old").chmod(0o604)
        with Client(node.http) as client:
            assert_created(client.request(put("/dev1/a/b/new", b"new")))
            assert_created(client.request(put("/dev1/old", b"replaced")))
        modes = {
            name: stat.S_IMODE((node.docroot / "dev1" / name).stat().st_mode)
            for name in ("a", "a/b", "a/b/new", "old")
        }
    assert modes == {"a": 0o750, "a/b": 0o750, "a/b/new": 0o640, "old": 0o640}
