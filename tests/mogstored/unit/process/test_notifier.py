"""Which variables of a service manager are valid."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from mogstored.log.bounded_writer import FlushResult
from mogstored.process.supervision.notify import Notifier
from tests.support.service_manager import ServiceManager, fill

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "1000000"}, None),
        ({"NOTIFY_SOCKET": "/s"}, None),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1000000"}, 0.25),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "7"}, 0.25),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"}, None),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "-5"}, None),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "soon"}, None),
        # systemd's "infinity", and 100 days.
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": str(2**64 - 1)}, None),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "8640000000000"}, 25 * 86400.0),
    ],
)
def test_interval_of_watchdog_messages(environ: dict[str, str], interval_s: float | None) -> None:
    assert Notifier.from_environment(environ, 7).keepalive_interval_s == interval_s


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier.from_environment({}, 7)
    notifier.ready(takes_over=False)
    notifier.draining(3)
    notifier.stopping()


def test_what_a_full_queue_refuses_is_sent_later_in_order(tmp_path: Path) -> None:
    with ServiceManager(str(tmp_path / "notify")) as manager:
        fill(manager.name)
        kept: list[None] = []
        notifier = Notifier(manager.name)
        notifier.on_pending = lambda: kept.append(None)
        notifier.ready(takes_over=True)
        notifier.keepalive()
        notifier.draining(3)
        notifier.hand_over(7)
        notifier.take_back()
        assert notifier.flush() is FlushResult.FULL
        assert kept
        manager.drain()
        manager.received.clear()
        assert notifier.flush() is FlushResult.DONE
        manager.drain()
        ready = f"READY=1\nMAINPID={os.getpid()}\nSTATUS=serving"
        assert manager.received == [ready, f"MAINPID={os.getpid()}", "MAINPID=7"]


def test_what_is_never_taken_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mogstored.process.supervision.notify._KEPT_S", 0.0)
    with ServiceManager(str(tmp_path / "notify")) as manager:
        fill(manager.name)
        notifier = Notifier(manager.name)
        notifier.stopping()
        assert notifier.flush() is FlushResult.DONE


def test_manager_that_is_started_again_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(str(path))
    notifier = Notifier(str(path))
    notifier.ready(takes_over=False)
    path.unlink()
    with ServiceManager(str(path)) as manager:
        assert notifier.flush() is FlushResult.DONE
        manager.wait_for("READY=1")


def test_messages_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    monkeypatch.setattr("mogstored.process.supervision.notify.monotonic", lambda: now[0])
    with ServiceManager(str(tmp_path / "notify")) as manager:
        notifier = Notifier(manager.name)
        notifier.ready(takes_over=False)
        notifier.keepalive()
        for clients in (3, 3, 2):
            notifier.draining(clients)
        notifier.take_back()
        notifier.stopping()
        manager.drain()
        assert manager.received == [
            "READY=1\nSTATUS=serving",
            "WATCHDOG=1",
            "STATUS=shutting down, 3 clients left",
            "STATUS=shutting down, 2 clients left",
            f"MAINPID={os.getpid()}",
            "STOPPING=1",
        ]
        fill(manager.name)
        notifier.ready(takes_over=False)
        now[0] = 1599.9
        assert notifier.flush() is FlushResult.FULL
        assert caplog.messages == []
        now[0] = 1600.0
        assert notifier.flush() is FlushResult.DONE
        assert caplog.messages == [
            "NOTIFY_SOCKET: dropped after 600 s without a reader: READY=1 STATUS=serving"
        ]
