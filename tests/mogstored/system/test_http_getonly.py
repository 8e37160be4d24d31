"""The read-only listener: the same files, and no way to change them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, ask, compose

if TYPE_CHECKING:
    from collections.abc import Iterator

KEEP = "Connection: keep-alive"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(httpget=True) as node:
        yield node


@pytest.fixture
def addr(node: Node) -> tuple[str, int]:
    assert node.httpget is not None
    return node.httpget


def test_all_methods_ten_times_on_one_connection(
    node: Node, addr: tuple[str, int], target: str
) -> None:
    path = node.write(target, b"precious")
    with Client(addr) as client:
        for _ in range(10):
            assert client.request(compose("HEAD", target, KEEP), head=True).status == 200
            assert client.request(compose("GET", target, KEEP)).body == b"precious"
            assert client.request(compose("DELETE", target, KEEP)).status == 405
            assert client.request(compose("MKCOL", target, KEEP)).status == 405
    assert path.exists()


def test_ranges(node: Node, addr: tuple[str, int], target: str) -> None:
    node.write(target, b"0123456789")
    answer = ask(addr, compose("GET", target, "Range: bytes=2-4"))
    assert (answer.status, answer.body) == (206, b"234")


@pytest.mark.parametrize("method", ["DELETE", "MKCOL"])
@pytest.mark.parametrize("target", ["/", "/dev1/none", "/dev1", "/dev1/../x", "/dev1/0/"])
def test_refusal_comes_before_any_look_at_the_path(
    addr: tuple[str, int], method: str, target: str
) -> None:
    with Client(addr) as client:
        answer = client.request(compose(method, target, "Content-Length: 0"))
        assert (answer.status, answer.keeps) == (405, True)
        assert client.request(compose("GET", "/")).status == 200


@pytest.mark.parametrize("target", ["/dev1/new", "/", "/foo", "/dev1/../x", "/dev9/new"])
@pytest.mark.parametrize("body", [b"", b"body"])
def test_put_is_refused_and_closed(
    node: Node, addr: tuple[str, int], target: str, body: bytes
) -> None:
    before = sorted(node.docroot.rglob("*"))
    answer = ask(addr, compose("PUT", target, f"Content-Length: {len(body)}", KEEP) + body)
    assert (answer.status, answer.keeps) == (405, False)
    assert sorted(node.docroot.rglob("*")) == before


def test_chunked_put_is_refused_and_closed(node: Node, addr: tuple[str, int]) -> None:
    request = compose("PUT", "/dev1/new", "Transfer-Encoding: chunked", KEEP)
    answer = ask(addr, request + b"4\r\nbody\r\n0\r\n\r\n")
    assert (answer.status, answer.keeps) == (405, False)
    assert not node.path("/dev1/new").exists()


@pytest.mark.parametrize("value", ["bytes 5-4/*", f"bytes 0-{2**63}/*", "junk"])
def test_put_is_refused_before_any_look_at_its_range(addr: tuple[str, int], value: str) -> None:
    request = compose("PUT", "/dev1/new", f"Content-Range: {value}", "Content-Length: 4")
    assert ask(addr, request + b"body").status == 405


def test_put_that_waits_for_100_is_refused(addr: tuple[str, int]) -> None:
    request = compose("PUT", "/dev1/new", "Content-Length: 4", "Expect: 100-continue")
    answer = ask(addr, request)
    assert (answer.status, answer.keeps) == (405, False)


def test_garbage_is_garbage_here_too(addr: tuple[str, int]) -> None:
    assert ask(addr, compose("GET", "/_")).status == 400


def test_upload_on_the_other_port_is_seen_at_once(
    node: Node, addr: tuple[str, int], target: str
) -> None:
    with Client(node.http) as writer, Client(addr) as reader:
        assert reader.request(compose("GET", target)).status == 404
        put = compose("PUT", target, "Content-Length: 4") + b"body"
        assert writer.request(put).status == 201
        assert reader.request(compose("GET", target)).body == b"body"
        assert writer.request(compose("DELETE", target)).status == 204
        assert reader.request(compose("GET", target)).status == 404
