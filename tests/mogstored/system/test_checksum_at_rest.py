"""The checksum that is kept beside a stored file, and when there is none."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.attributes import attribute, takes_attributes
from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.puts import assert_created, chunks, md5_of, put, put_chunked, put_head
from tests.support.slow_disk import node_with_slow_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = b"small"
LARGE = bytes(range(256)) * 8192
TARGET = "/dev1/0/000/001/0000000001.fid"


@pytest.fixture(scope="module", params=["none", "auto", "md5", "sha256"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Node, str]]:
    if not takes_attributes(Path(tempfile.gettempdir())):
        pytest.skip("the file system has no attributes")
    with Node(extra=[f"--checksum-at-rest={request.param}"]) as node:
        yield node, request.param


def kept(node: Node, target: str = TARGET) -> dict[str, bytes]:
    names = ("md5", "sha256")
    found = {name: attribute(node.path(target), f"mogstored.{name}") for name in names}
    return {name: value for name, value in found.items() if value is not None}


def expected(rule: str, body: bytes, *, has_md5: bool) -> dict[str, bytes]:
    if rule == "md5" or (rule == "auto" and has_md5):
        return {"md5": hashlib.md5(body).hexdigest().encode()}
    if rule == "sha256":
        return {"sha256": base64.b64encode(hashlib.sha256(body).digest())}
    return {}


def upload(body: bytes, how: str) -> bytes:
    field = f"Content-MD5: {md5_of(body)}"
    return {
        "plain": put(TARGET, body),
        "checked": put(TARGET, body, field),
        "chunked": put_chunked(TARGET, chunks(body, 10_000)),
        "trailer": put_chunked(TARGET, chunks(body, 10_000, field), "Trailer: Content-MD5"),
    }[how]


@pytest.mark.parametrize("how", ["plain", "checked", "chunked", "trailer"])
@pytest.mark.parametrize("body", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_uploads(served: tuple[Node, str], body: bytes, how: str) -> None:
    node, rule = served
    with Client(node.http) as client:
        # What it replaces has one, too.
        for content in (b"before", body):
            client.send(upload(content, how))
            assert_created(client.read_response())
    assert node.path(TARGET).read_bytes() == body
    assert kept(node) == expected(rule, body, has_md5=how in ("checked", "trailer"))


def test_range_removes_it_before_its_first_byte(served: tuple[Node, str]) -> None:
    node, rule = served
    target = "/dev1/range"
    with Client(node.http) as client:
        client.send(put(target, SMALL, f"Content-MD5: {md5_of(SMALL)}"))
        assert_created(client.read_response())
        assert kept(node, target) == expected(rule, SMALL, has_md5=True)
        fields = "Content-Range: bytes 1-2/5", "Content-Length: 2", "Expect: 100-continue"
        client.send(put_head(target, *fields))
        assert client.read_response().status == 100
        assert node.path(target).read_bytes() == SMALL
        assert kept(node, target) == {}
        client.send(b"mm")
        assert_created(client.read_response())
    assert kept(node, target) == {}


def test_range_with_its_own_md5_leaves_none(served: tuple[Node, str]) -> None:
    node, _ = served
    target = "/dev1/range-checked"
    with Client(node.http) as client:
        field = f"Content-MD5: {md5_of(SMALL)}"
        client.send(put(target, SMALL, field, "Content-Range: bytes 0-4/5"))
        assert_created(client.read_response())
    assert kept(node, target) == {}


def test_disk_without_attributes_is_served(tmp_path: Path) -> None:
    with node_with_slow_disk(tmp_path / "disk", extra=["--checksum-at-rest=md5"]) as (node, _):
        with Client(node.http) as client:
            for number in range(3):
                client.send(put(f"/dev2/{number}", SMALL))
                assert_created(client.read_response())
        node.wait_for_log("dev2 does not keep checksums beside its files: ")
        lines = [line for line in node.stderr_lines() if "does not keep" in line]
        assert len(lines) == 1
