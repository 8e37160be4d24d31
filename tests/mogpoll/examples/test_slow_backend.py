"""The example of a server before a slow back end answers all, in any order."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll.examples.conftest import connect, receive_all

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mogpoll.examples.conftest import Start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("not for all")
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "page").write_text("a page\n" * 50_000)
    return folder


def test_each_client_gets_its_answer(start: Start, folder: Path) -> None:
    server = start("slow_backend.py", "0", str(folder))
    port = server.port
    expected = {
        "/page": (b"200 OK", (folder / "page").read_bytes()),
        "/slow/1": (b"200 OK", b"/slow/1 took its time\n"),
        "/slow/2": (b"200 OK", b"/slow/2 took its time\n"),
        "/none": (b"404 Not Found", b""),
        "/../secret": (b"404 Not Found", b""),
    }
    with ExitStack() as stack:
        clients = [(path, stack.enter_context(connect(port))) for path in [*expected] * 20]
        for path, client in clients:
            client.sendall(f"GET {path} HT".encode())
        for _, client in clients:
            client.sendall(b"TP/1.1\r\n\r\n")
        for path, client in clients:
            head, _, body = receive_all(client).partition(b"\r\n\r\n")
            status, content = expected[path]
            assert head.startswith(b"HTTP/1.1 " + status)
            assert body == content
    assert server.end() == (0, b"", b"")


@pytest.mark.parametrize("head", [b"x" * 16_384, b"\r\n\r\n", b""])
def test_what_is_no_request_is_closed(start: Start, folder: Path, head: bytes) -> None:
    server = start("slow_backend.py", "0", str(folder))
    with connect(server.port) as client:
        client.sendall(head)
        client.shutdown(1)
        assert receive_all(client) == b""
    assert server.end() == (0, b"", b"")
