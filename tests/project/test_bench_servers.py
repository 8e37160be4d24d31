"""Servers and clients of the bench: counts, refusals, and leftovers."""

from __future__ import annotations

import os
import re
import select
import signal
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil
import pytest

from bench.balance import workers
from bench.base.cleanup import signals_deferred
from bench.environment import Environment
from bench.load import large_get_client
from bench.load.wrk import LoadError, Wrk, parse_report
from bench.requests import large
from bench.servers import processes
from bench.servers.peers import Peer, PeerFailed, wait_for
from bench.servers.workloads import GET_1K, PUT_AGAIN, WORKLOADS
from tests.project.test_bench_command import linux, with_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = 3_000_000

with_epoll = pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll here")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stored: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        self.wfile.write(bytes(SIZE))

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.stored.append(self.path)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    _Handler.stored.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@with_epoll
@pytest.mark.parametrize(("connections", "seconds"), [(3, 0.0), (2, 0.3)])
def test_answers_under_way_when_the_time_is_over_are_read_and_counted(
    port: int, connections: int, seconds: float
) -> None:
    sample = parse_report(large_get_client.run(port, ["/a"], SIZE, connections, seconds))
    assert sample.requests == connections if not seconds else sample.requests > connections
    assert sample.duration_s >= max(seconds, sample.p99_s) > 0


@with_epoll
def test_answer_of_another_length_fails_the_run(port: int) -> None:
    with pytest.raises(LoadError, match="1 status"):
        parse_report(large_get_client.run(port, ["/a"], SIZE + 1, 1, 0.0))


@linux
@with_tools
def test_names_of_stored_files_never_repeat_and_are_those_of_mogilefs(
    port: int, tmp_path: Path
) -> None:
    peer = Peer("server", tmp_path, port=port, pid=os.getpid())
    (tmp_path / "log").touch()
    wrk = Wrk("wrk", threads=2)
    for name in ("put-1k", "put-1m", "put-1k"):
        wrk.run(peer, WORKLOADS[name], 4, 1)
    stored = _Handler.stored
    assert len(set(stored)) == len(stored) > 0
    for path in stored:
        found = re.fullmatch(r"/dev1/(\d)/(\d{3})/(\d{3})/(\d{10})\.fid", path)
        assert found, path
        assert found[4].startswith(found[1] + found[2] + found[3])


@linux
@with_tools
def test_names_of_files_that_are_replaced_repeat(port: int, tmp_path: Path) -> None:
    peer = Peer("server", tmp_path, port=port, pid=os.getpid())
    (tmp_path / "log").touch()
    few = replace(PUT_AGAIN, files=8)
    for _ in range(2):
        Wrk("wrk", threads=2).run(peer, few, 4, 1, keeps=True)
    assert len(_Handler.stored) > 16
    assert set(_Handler.stored) == {few.path(number) for number in range(8)}


def test_interrupt_waits_until_a_process_has_its_owner() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with signals_deferred():
            signal.raise_signal(signal.SIGINT)
            steps.append("owned")
        steps.append("too late")
    assert steps == ["owned"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_processor_time_and_memory_are_those_of_the_process() -> None:
    times = psutil.Process().cpu_times()
    own = times.user + times.system + times.children_user + times.children_system
    assert processes.cpu_s(os.getpid()) >= own


def test_waiting_ends_with_what_was_found_or_says_what_was_not() -> None:
    found = iter([None, "", "this"])
    assert wait_for(lambda: next(found), "a word") == "this"
    with pytest.raises(PeerFailed, match="a second word"):
        wait_for(lambda: False, "a second word", limit_s=0.0)


def test_variants_take_turns_and_are_warmed_up_once(environment: Environment) -> None:
    seen: list[str] = []

    def running(name: str) -> Callable[[float], str]:
        def run(_: float) -> str:
            seen.append(name)
            return name

        return run

    found = environment.take_turns({name: running(name) for name in "ab"})
    assert "".join(seen) == "ababba"
    assert found == {"a": ["a", "a"], "b": ["b", "b"]}


@linux
def test_server_that_ends_at_once_is_reported_with_its_log(environment: Environment) -> None:
    peer = environment.peers.node("wrong", "--no-such-option")
    with pytest.raises(PeerFailed, match="no-such-option"), peer:
        pass
    with environment.peers.node() as node:
        node.check(GET_1K)
        (node.docroot / GET_1K.path(0)[1:]).write_bytes(b"other")
        with pytest.raises(PeerFailed, match="wrong bytes"):
            node.check(GET_1K)
        pid = node.pid
    assert not processes.session(pid)


@linux
def test_every_connection_is_found_with_the_worker_that_took_it(environment: Environment) -> None:
    # One that is not found fails the measurement.
    shares = workers.share(environment, 40, processes=2)
    assert (shares.total, len(shares.counts)) == (40, 2)


@linux
def test_put_with_md5_is_set_beside_hashlib_and_leaves_no_file(environment: Environment) -> None:
    line, *others = large.put_md5(environment)
    assert line.verdict in {"met", "MISSED"}
    assert [*line.samples] == ["with Content-MD5", "without", "hashlib"]
    assert all(other.what.startswith("  ") for other in others)
    assert not list(environment.workdir.rglob("stored.fid"))
