"""Which requests a worker thread keeps, and what it does with one that comes again."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.files.recent_files import RecentFile, RecentFiles
from mogstored.http import delete, dispatch, get, put
from mogstored.http.dispatch import HTTPSession
from mogstored.http.message.request import Request, parse_request
from tests.support.http import compose
from tests.support.sockets import stream_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POPULAR = compose("GET", "/dev1/popular")


class Rig:
    """A session whose methods only note what they are to answer."""

    def __init__(self, sock: Any, client: Any, recent_files: RecentFiles) -> None:
        service: Any = SimpleNamespace(
            clients=None,
            draining=False,
            recent_files=recent_files,
            access_log=None,
            devices=SimpleNamespace(of=lambda _path: SimpleNamespace(name=b"dev1")),
            number=0,
        )
        self.session = HTTPSession(sock, service)
        self.buffers = Buffers()
        self.parsed: list[bytes] = []
        self.answered: list[Request] = []
        self._client = client

    def parse(self, data: bytes, end: int, blocks: Any) -> Request:
        self.parsed.append(data[:end])
        return parse_request(data, end, blocks)

    def answer(self, _session: HTTPSession, request: Request, *_rest: object) -> Next:
        self.answered.append(request)
        return Next.READ

    def receive(self, data: bytes) -> Request | None:
        """Send `data`, step once; return the request that was answered, if any."""
        self.answered.clear()
        self._client.sendall(data)
        assert self.session.step(self.buffers) is Next.READ
        return self.answered[0] if self.answered else None


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Rig]:
    files = RecentFiles(2**20)
    files.keep(b"dev1/popular", RecentFile(os.stat(tmp_path), b""))
    with stream_pair() as (ours, theirs):
        rig = Rig(ours, theirs, files)
        monkeypatch.setattr(dispatch, "parse_request", rig.parse)
        for method in (get, put):
            monkeypatch.setattr(method, "answer", rig.answer)
        monkeypatch.setattr(get, "answer_again", rig.answer)
        monkeypatch.setattr(delete, "answer_delete", rig.answer)
        yield rig


def test_request_that_comes_again_is_not_parsed(rig: Rig) -> None:
    first = rig.receive(POPULAR)
    assert first is not None
    assert rig.receive(POPULAR) is first
    assert (rig.parsed, first.head) == ([POPULAR], POPULAR)


@pytest.mark.parametrize(
    "request_",
    [
        compose("GET", "/dev1/other"),
        compose("GET", "/dev1/popular", "Connection: close"),
        compose("GET", "/dev1/popular", "Range: bytes=0-1"),
        compose("GET", "/dev1/popular", "X: " + "x" * 512),
        compose("HEAD", "/dev1/popular"),
        compose("DELETE", "/dev1/popular"),
        compose("PUT", "/dev1/popular", "Content-Length: 0"),
    ],
    ids=["read-once", "close", "range", "long", "head", "delete", "put"],
)
def test_what_is_not_kept(rig: Rig, request_: bytes) -> None:
    for _ in range(2):
        assert rig.receive(request_) is not None
    assert rig.parsed == [request_, request_]
    assert rig.buffers.known[0].requests == {}


def test_request_is_another_one_to_another_docroot(rig: Rig) -> None:
    first = rig.receive(POPULAR)
    rig.session.docroot_number = 1
    second = rig.receive(POPULAR)
    assert second is not first
    assert rig.receive(POPULAR) is second


def test_known_bytes_in_the_middle_of_a_head_are_no_request(rig: Rig) -> None:
    rig.receive(POPULAR)
    begin = b"GET /dev1/other HTTP/1.1\r\nX: "
    assert rig.receive(begin) is None
    answered = rig.receive(POPULAR)
    assert answered is not None
    assert answered.path == b"dev1/other"
    assert rig.parsed[-1] == begin + POPULAR


def test_tables_are_bounded(rig: Rig) -> None:
    for number in range(1030):
        assert rig.receive(compose("GET", "/dev1/popular", f"X: {number}")) is not None
    assert 0 < len(rig.buffers.known[0].requests) <= 1024
    assert 0 < len(rig.buffers.blocks) <= 128
