"""An upgrade whose new process does not start, or whose launcher is gone."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from mogstored.process.supervision.notify import Notifier
from mogstored.process.supervision.pidfile import Pidfile
from mogstored.process.upgrades import upgrade as module
from mogstored.process.upgrades.invocation import Invocation
from mogstored.process.upgrades.launcher import ENDED, FAILED, STARTED, Answer
from mogstored.process.upgrades.upgrade import Upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NEW = 4_000_000


class FakeLauncher:
    """A launcher with the answers of the test."""

    def __init__(self) -> None:
        self.invocation = Invocation(("program",), {}, None)
        self.is_running = True
        self.requests: list[Sequence[int]] = []
        self.kills: list[None] = []
        self.next: list[Answer] = []

    def request(self, listener_fds: Sequence[int]) -> None:
        self.requests.append(listener_fds)

    def kill_unstarted(self) -> None:
        self.kills.append(None)

    def answers(self) -> list[Answer]:
        answers, self.next = self.next, []
        return answers

    def await_answer(self, timeout_s: float) -> None:
        pass


@pytest.fixture
def launcher() -> FakeLauncher:
    return FakeLauncher()


@pytest.fixture
def pidfile(tmp_path: Path) -> Path:
    return tmp_path / "pid"


@pytest.fixture
def upgrade(launcher: FakeLauncher, pidfile: Path, caplog: pytest.LogCaptureFixture) -> Upgrade:
    caplog.set_level("INFO", "mogstored")
    held = Pidfile(str(pidfile))
    held.prepare()
    held.commit()
    return Upgrade(launcher, held, Notifier(), [5], forks_late=False)  # type: ignore[arg-type]


def is_back(pidfile: Path) -> bool:
    own = f"{os.getpid()}\n"
    old = pidfile.with_name("pid.oldbin")
    return pidfile.exists() and pidfile.read_text() == own and not old.exists()


def test_start_that_hangs_is_given_up(
    upgrade: Upgrade,
    launcher: FakeLauncher,
    pidfile: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    upgrade.begin()
    assert launcher.requests == [[5]]
    assert not pidfile.exists()
    upgrade.advance()
    assert not launcher.kills
    assert 0.0 < (upgrade.interval_s or 0.0) <= module._START_S
    monkeypatch.setattr(module, "_START_S", 0.0)
    upgrade.advance()
    assert len(launcher.kills) == 1
    assert is_back(pidfile)
    assert upgrade.interval_s is None
    assert "no upgrade: program has not started within 0 s" in caplog.text
    monkeypatch.undo()
    upgrade.begin()
    launcher.next = [Answer(STARTED, NEW)]
    assert upgrade.successor == NEW


def test_stop_waits_a_moment_for_a_start_and_not_longer(
    upgrade: Upgrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STOP_WAIT_S", 0.05)
    upgrade.begin()
    assert upgrade.successor is None


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EAGAIN])
def test_program_that_cannot_be_started(
    upgrade: Upgrade,
    launcher: FakeLauncher,
    pidfile: Path,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    upgrade.begin()
    launcher.next = [Answer(FAILED, NEW, number), Answer(ENDED, NEW, 127)]
    upgrade.advance()
    assert is_back(pidfile)
    assert f"no upgrade: cannot start program: {os.strerror(number)}" in caplog.text
    assert "upgrade ended" not in caplog.text


def test_launcher_that_is_gone_while_a_start_is_awaited(
    upgrade: Upgrade, launcher: FakeLauncher, pidfile: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade.begin()
    launcher.is_running = False
    upgrade.advance()
    assert is_back(pidfile)
    assert "no upgrade: cannot start program: the launcher process has ended" in caplog.text


def test_end_of_the_new_process_is_noticed_without_a_launcher(
    upgrade: Upgrade, launcher: FakeLauncher, pidfile: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with subprocess.Popen(["sleep", "60"]) as new:
        upgrade.begin()
        launcher.next = [Answer(STARTED, new.pid)]
        upgrade.advance()
        launcher.is_running = False
        upgrade.advance()
        assert not is_back(pidfile)
        assert upgrade.interval_s is not None
        new.kill()
    upgrade.advance()
    assert is_back(pidfile)
    assert f"upgrade ended: process {new.pid} has ended" in caplog.text
