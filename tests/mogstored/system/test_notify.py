"""Messages to a service manager, through a real datagram socket."""

from __future__ import annotations

import signal
import sys
import uuid
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import Node
from tests.support.forms import FORMS
from tests.support.http import Client, compose
from tests.support.processes import workers_of
from tests.support.puts import begun_files, wait_until_begun
from tests.support.service_manager import ServiceManager, fill
from tests.support.upgrades import generations
from tests.support.waiting import promptly, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WATCHDOG_S = 0.4


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(str(tmp_path / "notify")) as manager:
        yield manager


@FORMS
def test_ready_when_it_serves_and_stopping_when_it_stops(
    manager: ServiceManager, extra: list[str]
) -> None:
    with Node(env={"NOTIFY_SOCKET": manager.name}, extra=extra) as node:
        assert "MAINPID" not in manager.wait_for("READY=1")
        assert node.stop() == 0
        manager.wait_for("STOPPING=1")
    ready = [message for message in manager.received if "READY=1" in message]
    assert ready == manager.received[:1]


@FORMS
def test_ready_and_stopping_reach_a_manager_that_reads_late(
    manager: ServiceManager, extra: list[str]
) -> None:
    fill(manager.name)
    with Node(env={"NOTIFY_SOCKET": manager.name}, extra=extra) as node:
        manager.wait_for("READY=1")
        fill(manager.name)
        node.send_signal(signal.SIGTERM)
        node.wait_for_log("stopping")
        manager.wait_for("STOPPING=1")
        assert node.wait() == 0


@FORMS
@pytest.mark.parametrize("usec", [2**64 - 1, 100 * 86400 * 10**6])
def test_watchdog_with_more_patience_than_a_wait_can_last(
    manager: ServiceManager, extra: list[str], usec: int
) -> None:
    env = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": str(usec)}
    with Node(env=env, extra=extra) as node, Client(node.http) as client:
        manager.wait_for("READY=1")
        assert client.request(compose("GET", "/")).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_abstract_socket() -> None:
    with (
        ServiceManager(f"@mogstored-test-{uuid.uuid4()}") as manager,
        Node(env={"NOTIFY_SOCKET": manager.name}),
    ):
        manager.wait_for("READY=1")


def test_socket_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    with Node(env={"NOTIFY_SOCKET": str(tmp_path / "none")}) as node:
        assert node.stop() == 0


@FORMS
def test_status_has_the_number_of_clients_left(manager: ServiceManager, extra: list[str]) -> None:
    with Node(env={"NOTIFY_SOCKET": manager.name}, extra=extra) as node:
        with Client(node.http) as first, Client(node.http) as second:
            for client in (first, second):
                client.send(compose("PUT", "/dev1/new", "Content-Length: 2") + b"1")
            wait_until(lambda: len(begun_files(node, "/dev1/new")) == 2, "two uploads")
            node.send_signal(signal.SIGTERM)
            manager.wait_for("STATUS=shutting down, 2 clients left")
            first.send(b"2")
            manager.wait_for("STATUS=shutting down, 1 clients left")
            second.send(b"2")
        assert node.wait() == 0


def watched(manager: ServiceManager) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}


def wait_for_messages(manager: ServiceManager) -> None:
    for _ in range(5):
        promptly(partial(manager.wait_for, "WATCHDOG=1"), WATCHDOG_S)


@FORMS
def test_watchdog_messages_come_in_time(manager: ServiceManager, extra: list[str]) -> None:
    with Node(env=watched(manager), extra=extra) as node:
        manager.wait_for("READY=1")
        wait_for_messages(manager)
        assert node.is_running()


@FORMS
def test_watchdog_goes_on_during_a_long_stop(manager: ServiceManager, extra: list[str]) -> None:
    with Node(env=watched(manager), extra=extra) as node, Client(node.http) as client:
        client.send(compose("PUT", "/dev1/new", "Content-Length: 2") + b"1")
        wait_until_begun(node, "/dev1/new")
        node.begin_stop(signal.SIGTERM)
        manager.drain()
        wait_for_messages(manager)
        assert client.request(b"2").status == 201


def test_no_watchdog_message_while_a_worker_is_stuck(manager: ServiceManager) -> None:
    with Node(env=watched(manager), extra=["--worker-processes=2"]) as node:
        manager.wait_for("WATCHDOG=1")
        stuck = workers_of(node)[1]
        stuck.suspend()
        wait_until(lambda: manager.is_silent(2 * WATCHDOG_S), "the watchdog messages stop")
        stuck.resume()
        manager.wait_for("WATCHDOG=1")


# Each thread that reads from a client sleeps while the file is there.
STUCK_THREADS = """
import os, socket, threading, time

def hold():
    main = threading.main_thread()
    while threading.current_thread() is not main and os.path.exists({hold!r}):
        time.sleep(0.01)

def held(name):
    plain = getattr(socket.socket, name)
    def call(self, *arguments):
        hold()
        return plain(self, *arguments)
    setattr(socket.socket, name, call)

held("recv")
held("recv_into")
"""


@FORMS
def test_no_watchdog_message_while_all_threads_are_stuck(
    manager: ServiceManager, tmp_path: Path, extra: list[str]
) -> None:
    hold = tmp_path / "hold"
    injected = STUCK_THREADS.format(hold=str(hold))
    options = [*extra, "--aio-threads=2"]
    with ExitStack() as stack:
        node = stack.enter_context(Node(env=watched(manager), extra=options, injected=injected))
        manager.wait_for("WATCHDOG=1")
        hold.touch()
        # Far more than threads, in each process.
        clients = [stack.enter_context(Client(node.http)) for _ in range(60)]
        for client in clients:
            client.send(compose("GET", "/"))
        wait_until(lambda: manager.is_silent(3 * WATCHDOG_S), "the watchdog messages stop")
        hold.unlink()
        manager.wait_for("WATCHDOG=1")
        for client in clients:
            assert client.read_response().status == 200


def test_watchdog_of_another_process_is_not_ours(manager: ServiceManager) -> None:
    with Node(env={**watched(manager), "WATCHDOG_PID": "1"}):
        manager.wait_for("READY=1")
        assert manager.is_silent(2 * WATCHDOG_S)


@FORMS
def test_upgrade_names_the_process_that_leads(
    manager: ServiceManager, tmp_path: Path, extra: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.name)
    with generations(pidfile=tmp_path / "pid", extra=extra) as old:
        manager.wait_for("READY=1")
        new = old.upgrade()
        assert "READY=1" in manager.wait_for(f"MAINPID={new}")
        old.send(signal.SIGKILL, new)
        manager.wait_for(f"MAINPID={old.node.pid}")
        new = old.upgrade()
        manager.wait_for(f"MAINPID={new}")
        old.retire(new)
        # Also from the old process, for managers that accept messages from it only.
        manager.wait_for(f"MAINPID={new}")
        assert not any("STOPPING=1" in message for message in manager.received)
        old.send(signal.SIGTERM, new)
        manager.wait_for("STOPPING=1")


@FORMS
def test_new_process_is_named_again_when_it_is_nobodys_child(
    manager: ServiceManager, extra: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd kills a main process that was another's child when named, in place of a stop."""
    monkeypatch.setenv("NOTIFY_SOCKET", manager.name)
    with generations(extra=extra) as old, Client(old.addr) as client:
        client.send(compose("PUT", "/dev1/new", "Content-Length: 2") + b"1")
        wait_until_begun(old.node, "/dev1/new")
        new = old.upgrade()
        launcher = psutil.Process(new).ppid()
        old.send(signal.SIGQUIT)
        # Named another process in between, systemd looks at the new one again.
        manager.wait_for(f"MAINPID={old.current}")
        manager.wait_for(f"MAINPID={new}")
        assert psutil.Process(new).ppid() not in {launcher, old.current}
        assert client.request(b"2").status == 201
