"""Another project's client library, with a fake tracker and a real node."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.daemon import Node
from tests.support.fake_tracker import FakeTracker
from tests.support.upgrades import free_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

library = pytest.importorskip("pymogilefs.client", reason="pymogilefs is not installed")


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def tracker(node: Node) -> Iterator[FakeTracker]:
    with FakeTracker([(node.http, 1), (node.http, 2)]) as tracker:
        yield tracker


@pytest.fixture
def client(tracker: FakeTracker) -> Any:
    return library.Client(trackers=[tracker.name], domain="test")


class Unsized:
    """A file of unknown length."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._file.read(10_000):
            yield piece

    def tell(self) -> int:
        return self._file.tell()


def read(client: Any, key: str) -> bytes:
    raw = client.get_file(key)
    try:
        content: bytes = raw.read()
        return content
    finally:
        raw.close()


@pytest.mark.parametrize("size", [0, 1, 4096, 5_000_000])
@pytest.mark.parametrize("make_file", [io.BytesIO, Unsized], ids=["sized", "chunked"])
def test_file_comes_back(node: Node, client: Any, make_file: Any, size: int) -> None:
    content = os.urandom(size)
    stored = client.store_file(make_file(content), "key")
    assert stored["length"] == size
    path = "/" + stored["path"].split("/", 3)[3]
    assert path.startswith("/dev1/0/000/000/")
    assert node.path(path).read_bytes() == content
    assert read(client, "key") == content


def test_file_from_the_disk(client: Any, tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        assert client.store_file(file, "key")["length"] == len(content)
    assert read(client, "key") == content


def test_file_is_replaced_and_removed(node: Node, tracker: FakeTracker, client: Any) -> None:
    for content in (b"first", b"second"):
        client.store_file(io.BytesIO(content), "key")
        assert read(client, "key") == content
    (url,) = tracker.paths["key"]
    client.delete_file("key")
    assert not node.path(url.split("/", 3)[3]).exists()


def test_second_place_when_the_first_does_not_answer(node: Node) -> None:
    places = [(free_address(), 1), (node.http, 2)]
    with FakeTracker(places) as tracker:
        client = library.Client(trackers=[tracker.name], domain="test")
        assert "/dev2/" in client.store_file(io.BytesIO(b"content"), "key")["path"]
        # A copy that cannot be fetched is skipped, too.
        host, port = places[0][0]
        tracker.paths["key"].insert(0, f"http://{host}:{port}/dev1/lost")
        assert read(client, "key") == b"content"


def test_upload_that_the_node_refuses(client: Any, tracker: FakeTracker, node: Node) -> None:
    """The library ignores the status; the tracker checks the size."""
    node.path("/dev1").rename(node.docroot / "away")
    try:
        with pytest.raises(Exception, match="size_mismatch"):
            client.store_file(io.BytesIO(b"content"), "key")
    finally:
        (node.docroot / "away").rename(node.path("/dev1"))
    assert tracker.paths == {}
