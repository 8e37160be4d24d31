"""Uploads that the file system refuses."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.disks import small_disk
from tests.support.http import Client
from tests.support.privileges import unprivileged
from tests.support.puts import (
    FORBIDDEN,
    NO_STORAGE,
    NOT_FOUND,
    SERVER_ERROR,
    assert_created,
    assert_refused,
    chunks,
    put,
    put_chunked,
    traces,
    wait_until_untouched,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROOT = os.geteuid() == 0
BLOCK = 512


def _part(target: str, body: bytes) -> bytes:
    return put(target, body, f"Content-Range: bytes 0-{len(body) - 1}/*")


def _chunked(target: str, body: bytes) -> bytes:
    return put_chunked(target, chunks(body, 1000))


FORMS = pytest.mark.parametrize("form", [put, _chunked, _part], ids=["whole", "chunked", "part"])


@FORMS
def test_target_is_a_directory(
    node: Node, target: str, form: Callable[[str, bytes], bytes]
) -> None:
    (node.path(target) / "inner").mkdir(parents=True)
    assert_refused(node.http, form(target, b"content"), SERVER_ERROR)
    assert (node.path(target) / "inner").is_dir()
    assert traces(node, target) == [node.path(target).name]


@FORMS
def test_target_is_below_a_file(
    node: Node, target: str, form: Callable[[str, bytes], bytes]
) -> None:
    node.write(target, b"old")
    assert_refused(node.http, form(f"{target}/f", b"content"), SERVER_ERROR)
    assert node.path(target).read_bytes() == b"old"


@FORMS
def test_directory_is_a_link_to_nowhere(
    node: Node, target: str, form: Callable[[str, bytes], bytes]
) -> None:
    node.path(target).symlink_to("nowhere")
    assert_refused(node.http, form(f"{target}/f", b"content"), NOT_FOUND)
    assert not (node.docroot / "dev1/nowhere").exists()


def test_part_of_a_pipe(node: Node, target: str) -> None:
    os.mkfifo(node.path(target))
    assert_refused(node.http, _part(target, b"content"), SERVER_ERROR)


@FORMS
def test_device_is_a_file(node: Node, form: Callable[[str, bytes], bytes]) -> None:
    (node.docroot / "dev55").write_bytes(b"")
    assert_refused(node.http, form("/dev55/f", b"content"), SERVER_ERROR)


@FORMS
def test_directory_without_write_permission(form: Callable[[str, bytes], bytes]) -> None:
    with Node(wrapper=unprivileged()) as node:
        closed = node.docroot / "dev2"
        closed.chmod(0o555)
        try:
            assert_refused(node.http, form("/dev2/f", b"content"), FORBIDDEN)
            assert list(closed.iterdir()) == []
            with Client(node.http) as client:
                assert_created(client.request(form("/dev1/f", b"content")))
        finally:
            closed.chmod(0o755)


@FORMS
def test_read_only_file_system(tmp_path: Path, form: Callable[[str, bytes], bytes]) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "size=1m"):
        (disk / "old").write_bytes(b"old")
        subprocess.run(["mount", "-o", "remount,ro,size=1m", str(disk)], check=True)
        node = Node(devices=("dev1",))
        (node.docroot / "dev2").symlink_to(disk)
        with node:
            assert_refused(node.http, form("/dev2/f", b"content"), FORBIDDEN)
            assert_refused(node.http, form("/dev2/old", b"content"), FORBIDDEN)
            with Client(node.http) as client:
                assert_created(client.request(form("/dev1/f", b"content")))
            assert (disk / "old").read_bytes() == b"old"


@FORMS
def test_file_over_the_size_that_is_allowed(form: Callable[[str, bytes], bytes]) -> None:
    limit = 64 * 1024
    with Node(
        wrapper=["sh", "-c", f'ulimit -f {limit // BLOCK} && exec "$@"', "sh"],
    ) as node:
        # Few enough bytes are left for the client to get a clean end.
        assert_refused(node.http, form("/dev1/large", b"x" * (limit + 16 * 1024)), NO_STORAGE)
        if form is not _part:
            wait_until_untouched(node, "/dev1/large")
        with Client(node.http) as client:
            assert_created(client.request(form("/dev1/small", b"x" * 1024)))
