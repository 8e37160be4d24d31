"""`size`: the size of a file, however large."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.disks import node_with_small_disk
from tests.support.sidechannel import manage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(mgmt=True) as node:
        yield node


def size(node: Node, path: str) -> str:
    """Return the reply to `size` without its line end."""
    with manage(node) as client:
        reply = client.ask(f"size {path}".encode())
    assert reply.endswith(b"\r\n")
    return reply[:-2].decode()


def test_size_of_a_file(node: Node) -> None:
    node.write("/dev1/0/000/000/0000000001.fid", b"x" * 1234)
    path = "/dev1/0/000/000/0000000001.fid"
    assert size(node, path) == f"{path} 1234"


def test_size_of_an_empty_file(node: Node) -> None:
    node.write("/dev1/empty", b"")
    assert size(node, "/dev1/empty") == "/dev1/empty 0"


@pytest.mark.parametrize("path", ["/dev1/missing", "/dev9/f", "/missing", "/dev1/usage/f"])
def test_size_of_what_is_not_there(node: Node, path: str) -> None:
    assert size(node, path) == f"{path} -1"


@pytest.mark.parametrize("path", ["/dev1", "/dev1/", "/"])
def test_size_of_a_directory(node: Node, path: str) -> None:
    assert size(node, path) == f"{path} {os.stat(node.path(path)).st_size}"


def test_symbolic_link_is_followed(node: Node) -> None:
    node.write("/dev1/target", b"x" * 77)
    node.path("/dev1/link").symlink_to("target")
    assert size(node, "/dev1/link") == "/dev1/link 77"


@pytest.mark.parametrize("path", ["//dev1/slashes", "/dev1//slashes", "///dev1///slashes"])
def test_path_is_echoed_as_it_was_written(node: Node, path: str) -> None:
    node.write("/dev1/slashes", b"12345")
    assert size(node, path) == f"{path} 5"


def test_size_of_the_usage_file(node: Node) -> None:
    assert size(node, "/dev1/usage") == f"/dev1/usage {node.path('/dev1/usage').stat().st_size}"


def test_size_of_a_sparse_file_over_4_gib(node: Node) -> None:
    os.truncate(node.write("/dev1/sparse", b""), 5 * 2**30 + 1)
    assert size(node, "/dev1/sparse") == f"/dev1/sparse {5 * 2**30 + 1}"


def test_size_of_a_sparse_file_of_2_pib(tmp_path: Path) -> None:
    # Few file systems take such a file; one in memory does.
    with node_with_small_disk(tmp_path / "disk", "size=1m", mgmt=True) as node:
        path = node.write("/dev2/sparse", b"")
        try:
            os.truncate(path, 2**51 + 7)
        except OSError as error:
            pytest.skip(f"no file of 2 PiB here: {error}")
        assert size(node, "/dev2/sparse") == f"/dev2/sparse {2**51 + 7}"
        path.unlink()


@pytest.mark.parametrize("path", ["/.mogstored/x.json", "/./.mogstored/x.json"])
def test_state_of_the_node_is_not_there(node: Node, path: str) -> None:
    node.write("/.mogstored/x.json", b"{}")
    assert size(node, path) == f"{path} -1"
    with manage(node) as client:
        assert client.ask(f"MD5 {path}".encode()) == f"{path} MD5=-1\r\n".encode()
