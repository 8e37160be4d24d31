"""The client for large files: what it counts when its time is over, and what it refuses."""

from __future__ import annotations

import select
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from bench import sink
from bench.report import LoadError, parse_report

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll here")

SIZE = 3_000_000


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        self.wfile.write(bytes(SIZE))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_answers_under_way_when_the_time_is_over_are_read_and_counted(port: int) -> None:
    report = parse_report(sink.run(port, ["/a"], SIZE, connections=3, seconds=0.0))
    assert report.requests == 3
    assert report.duration_s >= report.p99_s > 0


def test_more_is_asked_for_until_the_time_is_over(port: int) -> None:
    report = parse_report(sink.run(port, ["/a"], SIZE, connections=2, seconds=0.3))
    assert report.requests > 2
    assert report.duration_s >= 0.3


def test_answer_of_another_length_fails_the_run(port: int) -> None:
    with pytest.raises(LoadError, match="1 status"):
        parse_report(sink.run(port, ["/a"], SIZE + 1, connections=1, seconds=0.0))
