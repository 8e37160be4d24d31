"""A server in the process of the test: who looks at devices, how it ends, and what is shared out.

What several processes share out is processors without the lock, and memory for files.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock, Mock, call

import pytest

from mogstored import server
from mogstored.config import Option, load
from mogstored.config.values.addresses import parse_address
from mogstored.config.values.duration import Duration
from mogstored.config.values.free_space import MinFree
from mogstored.connections.listeners import BACKLOG, Listener, open_listener
from mogstored.files.docroot import Docroot
from mogstored.files.recent_files import size_in_each
from mogstored.observability.frames import LENGTH
from mogstored.observability.snapshot import ProcessSnapshot
from mogstored.server import BoundService, ProcessHooks, Server, running_in_each
from tests.support.descriptors import none_left_open
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ADDRESS = parse_address("127.0.0.1:0")


class Rig:
    """A server that has one docroot with one device, and has not been started."""

    def __init__(
        self, path: Path, kinds: Sequence[str], *, is_observed: bool = False, **settings: Any
    ) -> None:
        (path / "dev1").mkdir()
        config, _ = load([Option("docroot", str(path))], {})
        config = replace(config, **settings)
        listeners = tuple(Listener(kind, open_listener(ADDRESS)) for kind in kinds)
        docroot = Docroot(str(path), "none", "auto")
        self.bound = BoundService(config.services[0], docroot, listeners)
        self.feed = Mock()
        self.observer, observed = socket.socketpair()
        self.observer.settimeout(PATIENCE_S)
        if not is_observed:
            observed.close()
        self.hooks: Any = ProcessHooks(
            self.feed,
            writes_usage=True,
            keepalive_interval_s=None,
            request_stop=Mock(),
            call_in_main_thread=Mock(),
            observer_sock=observed if is_observed else None,
        )
        self.server = Server(config, [self.bound], self.hooks)

    def connect(self) -> socket.socket:
        """Return a client whose request has begun."""
        client = socket.create_connection(self.bound.listeners[0].sock.getsockname())
        client.sendall(b"GET /dev1/0 HTTP/1.1\r\n")
        pool = self.server._pool
        wait_until(
            lambda: any(not each.is_idle() for each in pool.waiting_tasks()), "it has begun"
        )
        return client

    def state(self) -> str:
        return ProcessSnapshot.decode(self.server.snapshot()).state

    def last_snapshot(self) -> ProcessSnapshot:
        (length,) = LENGTH.unpack(self.observer.recv(LENGTH.size, socket.MSG_WAITALL))
        return ProcessSnapshot.decode(self.observer.recv(length, socket.MSG_WAITALL))


@contextmanager
def rig(path: Path, *kinds: str, **settings: Any) -> Iterator[Rig]:
    """Yield a rig that the test drains; nothing of it may be left."""
    before = set(threading.enumerate())
    with none_left_open():
        found = Rig(path, kinds, **settings)
        yield found
        found.observer.close()
        wait_until(lambda: set(threading.enumerate()) <= before, "its threads have ended")


@pytest.mark.parametrize(
    ("kinds", "settings", "looks", "measures"),
    [
        (["http"], {}, False, False),
        (["http", "mgmt"], {}, True, True),
        (["http"], {"is_observed": True}, True, True),
        (["http"], {"min_free": MinFree(1, 0, "1")}, True, False),
        (["http"], {"scrub": Duration(86400, "1d")}, True, False),
    ],
)
def test_devices_are_looked_at_where_something_needs_it(
    tmp_path: Path, kinds: Sequence[str], settings: dict[str, Any], looks: bool, measures: bool
) -> None:
    with rig(tmp_path, *kinds, **settings) as found:
        found.server.start()
        found.server.drain(lambda _: None, takes_backlog=False)
        assert (tmp_path / "dev1" / "usage").exists() is looks
        assert (found.feed.start.called, found.feed.stop.called) == (measures, measures)


# What runs beside the workers.
PARTS = ("access_log", "leftovers", "lingering", "refresher", "scrub", "time_outs", "ward",
         "watchdog", "watchers")  # fmt: skip


def test_life_of_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, str, bool]] = []
    with rig(
        tmp_path,
        *("http", "mgmt"),
        is_observed=True,
        scrub=Duration(86400, "1d"),
        access_log=str(tmp_path / "log"),
        keepalive_timeout_s=60,
    ) as found:
        assert found.state() == "starting"
        parts = {name: Mock(wraps=getattr(found.server, f"_{name}")) for name in PARTS}
        for name, part in parts.items():
            monkeypatch.setattr(found.server, f"_{name}", part)
        found.server.start()
        assert found.state() == "serving"
        assert (tmp_path / "dev1" / "usage").exists(), "clients find it"
        client = found.connect()

        def on_round(clients: int) -> None:
            (service,) = found.server._services
            seen.append((clients, found.state(), service.draining))
            client.close()

        found.server.drain(on_round, takes_backlog=False)
        assert set(seen) == {(1, "draining", True)}
        assert [each.sock.fileno() for each in found.bound.listeners] == [-1, -1]
        lives = [name for name, part in parts.items() if part.start.called and part.stop.called]
        assert tuple(lives) == PARTS
        assert parts["watchers"].observe.called
        assert found.last_snapshot().state == "draining"
        assert found.observer.recv(1) == b""


def test_scrub_and_checksums_end_before_the_clients_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig(tmp_path, "http") as found:
        steps = Mock()
        for name in ("_scrub", "_fsck_queue", "_hashing"):
            part = Mock(wraps=getattr(found.server, name))
            monkeypatch.setattr(found.server, name, part)
            steps.attach_mock(part, name)
        found.server.start()
        client = found.connect()

        def on_round(_: int) -> None:
            assert steps.mock_calls == [*begun, *stopping]
            client.close()

        begun = [call._scrub.start()]
        stopping = [call._scrub.begin_stop(), call._fsck_queue.open()]
        found.server.drain(on_round, takes_backlog=False)
        assert steps.mock_calls == [
            *begun,
            *stopping,
            call._scrub.stop(),
            call._hashing.stop(),
        ]


def test_request_that_does_not_end_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with rig(tmp_path, "http", stop_timeout_s=0) as found:
        found.server.start()
        with found.connect() as client:
            client.settimeout(PATIENCE_S)
            found.server.drain(lambda _: None, takes_backlog=False)
            assert client.recv(1) == b""
        assert caplog.messages == [
            "gave up 1 requests that have not ended within 0 s of the stop: 1 waiting for clients"
        ]


def test_device_that_keeps_requests_from_ending_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with rig(tmp_path, "http", stop_timeout_s=0) as found:
        found.server.start()
        device: Any = MagicMock()
        device.__str__.return_value = "dev1"
        device.parked.return_value = ["one", "two"]
        loads = {device: SimpleNamespace(held=3, waiting=2)}
        monkeypatch.setattr(found.server._slot_allocator, "busy", lambda: loads)
        # A removal that was left behind.
        found.server._clients.note_opened()
        found.server.drain(lambda _: None, takes_backlog=False)
        device.cancel.assert_called_once_with({"one", "two"})
    begin = "gave up 5 requests that have not ended within 0 s of the stop"
    assert caplog.messages == [f"{begin}: dev1 (3 running, 2 waiting)"]


@pytest.mark.parametrize(("takes_backlog", "last_call"), [(True, BACKLOG), (False, 0)])
def test_clients_in_the_backlog_are_taken_where_no_other_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes_backlog: bool, last_call: int
) -> None:
    acceptors = Mock()
    monkeypatch.setattr(server, "make_acceptor", acceptors)
    with rig(tmp_path, "http") as found:
        found.server.start()
        found.server.drain(lambda _: None, takes_backlog=takes_backlog)
    acceptor = acceptors.return_value
    assert acceptor.mock_calls == [call.start(), call.stop(last_call=last_call)]


def test_disks_leave_threads_for_others(tmp_path: Path) -> None:
    with rig(tmp_path, "http", aio_threads=3) as found:
        assert found.server._pool.size == 5
        found.server._resize_pool(7)
        (resize,) = found.hooks.call_in_main_thread.call_args.args
        assert resize.args == (9,)
        found.server.start()
        found.server.drain(lambda _: None, takes_backlog=False)


def test_server_releases_all_though_no_thread_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig(tmp_path, "http", stop_timeout_s=60) as found:
        found.server.start()
        monkeypatch.setattr(server, "try_start_thread", lambda *_: None)
        found.server.drain(lambda _: None, takes_backlog=False)


@pytest.mark.parametrize(
    ("processors", "processes", "running"),
    [(8, 0, 8), (8, 1, 8), (8, 2, 4), (8, 3, 2), (8, 8, 1), (8, 16, 1), (1, 4, 1)],
)
def test_processes_share_out_the_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, processes: int, running: int
) -> None:
    monkeypatch.setattr(server, "default_spare", lambda: processors)
    assert running_in_each(processes) == running


@pytest.mark.parametrize(
    ("processes", "mib"), [(0, 16), (1, 16), (2, 8), (4, 4), (16, 1), (64, 1)]
)
def test_processes_share_out_the_memory_for_files(processes: int, mib: int) -> None:
    assert size_in_each(processes) == mib << 20
