"""What a service manager is told, through a real datagram socket."""

from __future__ import annotations

import signal
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.processes import workers_of
from tests.support.service_manager import ServiceManager
from tests.support.sockets import refuses
from tests.support.upgrades import generations
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WATCHDOG_S = 0.4
KINDS = pytest.mark.parametrize("extra", [[], ["--worker-processes=2"]], ids=["single", "workers"])


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(str(tmp_path / "notify")) as manager:
        yield manager


@KINDS
def test_ready_when_it_serves_and_stopping_when_it_stops(
    manager: ServiceManager, extra: list[str]
) -> None:
    with Node(env={"NOTIFY_SOCKET": manager.name}, extra=extra) as node:
        assert "MAINPID" not in manager.wait_for("READY=1")
        assert node.stop() == 0
        manager.wait_for("STOPPING=1")
    assert [message for message in manager.heard if "READY=1" in message] == manager.heard[:1]


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


@KINDS
def test_status_tells_how_many_clients_are_left(manager: ServiceManager, extra: list[str]) -> None:
    with Node(env={"NOTIFY_SOCKET": manager.name}, extra=extra) as node:
        with Client(node.http) as first, Client(node.http) as second:
            for client in (first, second):
                client.send(compose("PUT", "/dev1/new", "Content-Length: 2") + b"1")
            wait_until(lambda: len(list(node.path("/dev1").iterdir())) == 2, "two uploads")
            node.send_signal(signal.SIGTERM)
            manager.wait_for("STATUS=shutting down, 2 clients left")
            first.send(b"2")
            manager.wait_for("STATUS=shutting down, 1 clients left")
            second.send(b"2")
        assert node.wait() == 0


def watched(manager: ServiceManager) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}


@KINDS
def test_signs_of_life_come_in_time(manager: ServiceManager, extra: list[str]) -> None:
    with Node(env=watched(manager), extra=extra) as node:
        manager.wait_for("READY=1")
        for _ in range(5):
            manager.wait_for("WATCHDOG=1", timeout=5 * WATCHDOG_S)
        assert node.is_running()


@KINDS
def test_signs_of_life_go_on_during_a_long_stop(manager: ServiceManager, extra: list[str]) -> None:
    with Node(env=watched(manager), extra=extra) as node, Client(node.http) as client:
        client.send(compose("PUT", "/dev1/new", "Content-Length: 2") + b"1")
        wait_until(lambda: list(node.path("/dev1").iterdir()), "the upload has begun")
        node.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(node.http), "connecting is refused")
        manager.drain()
        for _ in range(5):
            manager.wait_for("WATCHDOG=1", timeout=5 * WATCHDOG_S)
        assert client.request(b"2").status == 201


def test_no_sign_of_life_while_a_worker_is_stuck(manager: ServiceManager) -> None:
    with Node(env=watched(manager), extra=["--worker-processes=2"]) as node:
        manager.wait_for("WATCHDOG=1")
        stuck = workers_of(node)[1]
        stuck.suspend()
        wait_until(lambda: manager.is_silent(2 * WATCHDOG_S), "the signs of life stop")
        stuck.resume()
        manager.wait_for("WATCHDOG=1")


def test_watchdog_of_another_process_is_not_ours(manager: ServiceManager) -> None:
    with Node(env={**watched(manager), "WATCHDOG_PID": "1"}):
        manager.wait_for("READY=1")
        assert manager.is_silent(2 * WATCHDOG_S)


@KINDS
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
        # Also from the old one, whose word counts with managers that listen to it alone.
        manager.wait_for(f"MAINPID={new}")
        assert not any("STOPPING=1" in message for message in manager.heard)
        old.send(signal.SIGTERM, new)
        manager.wait_for("STOPPING=1")
