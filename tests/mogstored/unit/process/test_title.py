"""What `ps` shows of a process, the name that the kernel has of it, and its orphans."""

from __future__ import annotations

import sys
from unittest.mock import Mock, call

import pytest

from mogstored.process.supervision import pid1
from mogstored.process.supervision import title as module
from mogstored.process.supervision.pid1 import OrphanReaper
from mogstored.process.supervision.title import Title


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Mock:
    system = Mock()
    system.getproctitle.return_value = "mogstored --x"
    monkeypatch.setattr(module, "setproctitle", system)
    return system


def test_titles_and_names(system: Mock) -> None:
    title = Title.prepare("mogstored")
    title.show_stopping()
    title.show_role("worker[0]")
    title.show_stopping()
    title.show_role("admin", name="mogstored-admin")
    shown = [each for each in system.mock_calls if each != call.getproctitle()]
    assert shown == [
        call.setthreadtitle("mogstored"),
        call.setproctitle("mogstored: shutting down: mogstored --x"),
        call.setthreadtitle("mogstored"),
        call.setproctitle("mogstored: worker[0]: mogstored --x"),
        call.setthreadtitle("mogstored"),
        call.setproctitle("mogstored: worker[0] shutting down: mogstored --x"),
        call.setthreadtitle("mogstored"),
        call.setproctitle("mogstored: admin: mogstored --x"),
        call.setthreadtitle("mogstored-admin"),
    ]


def test_command_line_that_is_no_text(system: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    system.getproctitle.side_effect = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")
    monkeypatch.setattr(sys, "orig_argv", ["python", "/srv/\udcff"])
    Title.prepare("mogstored").show_role("a")
    system.setproctitle.assert_called_once_with("mogstored: a: python /srv/\ufffd")


def test_orphans_are_reaped_by_process_1_only(monkeypatch: pytest.MonkeyPatch) -> None:
    reap = Mock(return_value=False)
    monkeypatch.setattr(pid1, "reap_orphans", reap)
    OrphanReaper().reap()
    assert not reap.called
    monkeypatch.setattr(pid1, "is_init", lambda: True)
    reaper = OrphanReaper()
    intervals = [reaper.interval_s]
    for reap.return_value in (False, True):
        reaper.reap()
        intervals.append(reaper.interval_s)
    # Some are left, and then none.
    assert intervals == [None, 1.0, None]
