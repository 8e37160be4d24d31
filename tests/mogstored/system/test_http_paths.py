"""Paths that are served: regular files inside the document root, links included."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, ask, compose
from tests.support.privileges import unprivileged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["GET", "HEAD"])
def method(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def answer_and_next(node: Node, request: bytes) -> tuple[int, bool]:
    """Return the status, and whether the connection was kept for a second request."""
    with Client(node.http) as client:
        answer = client.request(request, head=request.startswith(b"HEAD "))
        if answer.keeps:
            assert client.request(compose("GET", "/")).status == 200
        else:
            client.read_eof()
        return answer.status, answer.keeps


@pytest.mark.parametrize("target", ["/somefile", "/foo/a", "/dev7x/a", "/dev1/a/b/c/d.fid"])
def test_any_file_below_the_root_is_served(node: Node, target: str) -> None:
    node.write(target, target.encode())
    assert ask(node.http, compose("GET", target)).body == target.encode()


@pytest.mark.parametrize("target", ["/dev2/a//b", "/dev2//a/b", "/dev2/./a/b", "/dev2/a/./b"])
def test_repeated_slashes_and_single_dots_are_the_system_s(node: Node, target: str) -> None:
    node.write("/dev2/a/b", b"found")
    assert ask(node.http, compose("GET", target)).body == b"found"


@pytest.mark.parametrize(
    "target",
    ["/..", "/../", "/../x", "/dev1/..", "/dev1/../x", "/dev1/a..b", "/...", "/dev1/x..", "//.."],
)
def test_two_dots_anywhere_are_forbidden(node: Node, method: str, target: str) -> None:
    (node.docroot / "x").write_bytes(b"x")
    (node.docroot / "dev1" / "a..b").write_bytes(b"exists")
    assert answer_and_next(node, compose(method, target)) == (403, True)


@pytest.mark.parametrize("target", ["/dev1", "/dev1/", "/dev1/.", "/foo", "/."])
def test_directory_is_forbidden(node: Node, method: str, target: str) -> None:
    (node.docroot / "foo").mkdir(exist_ok=True)
    assert answer_and_next(node, compose(method, target)) == (403, True)


@pytest.mark.parametrize(
    "target",
    ["/none", "/dev1/none", "/dev1/none/none", "/dev7/none", "/dev1/plain/below", "/dev1/plain/"],
)
def test_missing(node: Node, method: str, target: str) -> None:
    node.write("/dev1/plain", b"no directory")
    assert answer_and_next(node, compose(method, target)) == (404, True)


def test_fifo_is_forbidden_and_blocks_no_others(node: Node, target: str, method: str) -> None:
    os.mkfifo(node.path(target))
    for _ in range(20):
        assert answer_and_next(node, compose(method, target)) == (403, True)


def test_socket_is_forbidden(node: Node, target: str, method: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(node.path(target)))
        assert answer_and_next(node, compose(method, target)) == (403, True)


@pytest.mark.parametrize("special", ["/dev/null", "/dev/zero"])
def test_character_device_is_forbidden(node: Node, target: str, method: str, special: str) -> None:
    node.path(target).symlink_to(special)
    assert answer_and_next(node, compose(method, target)) == (403, True)


def test_links_are_followed(node: Node, target: str, method: str) -> None:
    node.path(f"{target}l").symlink_to(node.write(target, b"0123456789"))
    answer = ask(node.http, compose(method, f"{target}l"))
    assert (answer.status, answer.header("Content-Length")) == (200, "10")


def test_link_into_nothing_is_missing(node: Node, target: str, method: str) -> None:
    node.path(target).symlink_to("nowhere")
    assert answer_and_next(node, compose(method, target)) == (404, True)


def test_loop_of_links_is_forbidden(node: Node, target: str, method: str) -> None:
    node.path(target).symlink_to(node.path(target).name)
    assert answer_and_next(node, compose(method, target)) == (403, True)


def test_device_that_is_a_link(node: Node, tmp_path: Path) -> None:
    (node.docroot / "dev77").symlink_to(tmp_path)
    with Client(node.http) as client:
        put = compose("PUT", "/dev77/0/000/file", "Content-Length: 4") + b"body"
        assert client.request(put).status == 201
        assert (tmp_path / "0/000/file").read_bytes() == b"body"
        assert client.request(compose("GET", "/dev77/0/000/file")).body == b"body"
        assert client.request(compose("DELETE", "/dev77/0/000/file")).status == 204


def test_document_root_that_is_moved_is_served(tmp_path: Path) -> None:
    """Paths are resolved from the directory as it was opened, not from its name."""
    with Node() as node:
        node.write("/dev1/file", b"found")
        node.docroot.rename(tmp_path / "elsewhere")
        try:
            assert ask(node.http, compose("GET", "/dev1/file")).body == b"found"
        finally:
            (tmp_path / "elsewhere").rename(node.docroot)


@pytest.mark.parametrize(
    "target",
    ["/", "//", "/foo", "/foo/bar", "/de", "/dev", "/dev1", "/dev1/", "/dev1//", "/dev12",
     "/dev1/foo/", "/dev1/foo//", "/devx/foo", "/dev1x/foo", "/xdev1/foo", "/foo/dev1/foo"],
)  # fmt: skip
def test_put_to_no_file_of_a_device_is_refused(node: Node, target: str) -> None:
    before = sorted(node.docroot.rglob("*"))
    request = compose("PUT", target, "Content-Length: 4", "Connection: keep-alive")
    assert answer_and_next(node, request + b"body") == (400, False)
    assert sorted(node.docroot.rglob("*")) == before


@pytest.mark.parametrize("target", ["/..", "/dev1/..", "/dev1/../x", "/dev1/a..b", "/dev1/..x"])
def test_put_with_two_dots_is_forbidden(node: Node, target: str) -> None:
    before = sorted(node.docroot.rglob("*"))
    request = compose("PUT", target, "Content-Length: 4", "Connection: keep-alive")
    assert answer_and_next(node, request + b"body") == (403, False)
    assert sorted(node.docroot.rglob("*")) == before


@pytest.mark.parametrize(
    "target",
    ["/dev666/0", "/dev666//0", "/dev666/a/b", "/dev666/.a", "http://h:1/dev666/u", "//dev666/s"],
)
def test_put_to_a_file_of_a_device(node: Node, target: str) -> None:
    (node.docroot / "dev666").mkdir(exist_ok=True)
    assert ask(node.http, compose("PUT", target, "Content-Length: 0")).status == 201
    assert ask(node.http, compose("DELETE", target)).status == 204


def test_put_to_a_dot_stores_nothing(node: Node) -> None:
    before = sorted(node.docroot.rglob("*"))
    status, keeps = answer_and_next(node, compose("PUT", "/dev1/.", "Content-Length: 0"))
    assert status in (400, 403, 500)
    assert not keeps
    assert sorted(node.docroot.rglob("*")) == before


def test_put_to_a_device_that_is_not_there_creates_nothing(node: Node) -> None:
    request = compose("PUT", "/dev99/file", "Content-Length: 0")
    assert answer_and_next(node, request) == (404, False)
    assert not (node.docroot / "dev99").exists()


@pytest.fixture(scope="module")
def restricted() -> Iterator[Node]:
    """A node for which the permissions of files count, also where the suite runs as root."""
    with Node(wrapper=unprivileged()) as node:
        yield node


def test_unreadable_file_is_forbidden(restricted: Node, target: str) -> None:
    restricted.write(target, b"secret").chmod(0)
    assert answer_and_next(restricted, compose("GET", target)) == (403, True)


def test_file_in_a_directory_that_cannot_be_searched(
    restricted: Node, target: str, method: str
) -> None:
    """As on a mount point without its disk: the file may exist, so never 404."""
    restricted.write(f"{target}/a", b"secret")
    restricted.path(target).chmod(0)
    assert answer_and_next(restricted, compose(method, f"{target}/a")) == (403, True)
    assert answer_and_next(restricted, compose(method, f"{target}/none")) == (403, True)
    restricted.path(target).chmod(0o700)


def test_delete_where_nothing_may_be_changed(restricted: Node, target: str) -> None:
    path = restricted.write(f"{target}/a", b"stays")
    restricted.path(target).chmod(0o500)
    assert answer_and_next(restricted, compose("DELETE", f"{target}/a")) == (403, True)
    assert path.exists()
    restricted.path(target).chmod(0o700)


def test_file_of_another_user_is_served(restricted: Node, target: str) -> None:
    """Linux refuses O_NOATIME then; the file is read without it."""
    if os.geteuid() == 0:
        os.chown(restricted.write(target, b"not ours"), 65534, 65534)
    else:
        restricted.path(target).symlink_to("/etc/passwd")
    restricted.write(f"{target}o", b"ours")
    for name in (target, f"{target}o", target):
        content = restricted.path(name).read_bytes()
        assert ask(restricted.http, compose("GET", name)).body == content


STATE = ["/.mogstored/x.json", "//.mogstored/x.json", "/./.mogstored/x.json", "/.mogstored"]


@pytest.mark.parametrize("target", STATE)
def test_state_of_the_node_is_not_there(node: Node, target: str) -> None:
    path = node.write("/.mogstored/x.json", b"{}")
    for method in ("GET", "HEAD", "DELETE"):
        assert answer_and_next(node, compose(method, target)) == (404, True)
    assert ask(node.http, compose("PUT", target, "Content-Length: 0")).status == 400
    assert path.read_bytes() == b"{}"
