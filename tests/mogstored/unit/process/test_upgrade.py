"""An upgrade whose new process does not start, or whose launcher is gone."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mogstored.process.supervision.notify import Notifier
from mogstored.process.supervision.pidfile import Pidfile, PidfileInUseError
from mogstored.process.upgrades import upgrade as module
from mogstored.process.upgrades.invocation import Invocation
from mogstored.process.upgrades.launcher import ENDED, FAILED, STARTED, Answer
from mogstored.process.upgrades.upgrade import Upgrade
from tests.support.clock import stop_clock
from tests.support.processes import bystander

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
    with bystander() as new:
        upgrade.begin()
        launcher.next = [Answer(STARTED, new.pid)]
        upgrade.advance()
        launcher.is_running = False
        upgrade.advance()
        assert not is_back(pidfile)
        assert upgrade.interval_s is not None
    assert new.returncode == -signal.SIGKILL, "it was only looked at"
    upgrade.advance()
    assert is_back(pidfile)
    assert f"upgrade ended: process {new.pid} has ended" in caplog.text


def interval_s(upgrade: Upgrade) -> float | None:
    return upgrade.interval_s


def successor(upgrade: Upgrade) -> int | None:
    return upgrade.successor


class TestAnswers:
    """The clock, the launcher, the pidfile and the service manager are the test's."""

    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        return stop_clock(monkeypatch, module, 1000.0)

    @pytest.fixture
    def parts(self, caplog: pytest.LogCaptureFixture) -> Any:
        caplog.set_level("INFO", "mogstored")
        parts = Mock()
        parts.launcher.is_running = True
        parts.launcher.invocation = Invocation(("program",), {}, None)
        parts.launcher.answers.side_effect = lambda: [
            parts.next.pop() for _ in range(len(parts.next))
        ]
        parts.next = []
        parts.pidfile.restore.return_value = True
        return parts

    def upgrade(self, parts: Any, *, forks_late: bool = False) -> Upgrade:
        return Upgrade(
            parts.launcher, parts.pidfile, parts.notifier, [5, 6], forks_late=forks_late
        )

    def test_start_has_20_s(
        self, parts: Any, now: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        upgrade = self.upgrade(parts)
        assert interval_s(upgrade) is None
        upgrade.begin()
        assert interval_s(upgrade) == 20.0
        now[0] += 19.9
        upgrade.advance()
        assert not parts.launcher.kill_unstarted.called
        now[0] = 1020.0
        upgrade.advance()
        parts.launcher.kill_unstarted.assert_called_once_with()
        (said,) = caplog.messages
        assert said.startswith("no upgrade: program has not started within 20 s: its file or dir")
        parts.pidfile.restore.assert_called_once_with()
        assert not parts.notifier.take_back.called

    def test_stop_waits_2_s_for_a_start(self, parts: Any, now: list[float]) -> None:
        def wait(seconds: float) -> None:
            now[0] += 0.5

        parts.launcher.await_answer.side_effect = wait
        upgrade = self.upgrade(parts)
        upgrade.begin()
        assert successor(upgrade) is None
        waits = [each.args[0] for each in parts.launcher.await_answer.mock_calls]
        assert waits == [2.0, 1.5, 1.0, 0.5]

    @pytest.mark.parametrize("forks_late", [True, False])
    def test_life_of_a_successor(
        self, parts: Any, caplog: pytest.LogCaptureFixture, *, forks_late: bool
    ) -> None:
        upgrade = self.upgrade(parts, forks_late=forks_late)
        upgrade.begin()
        assert parts.launcher.start.called is forks_late
        parts.launcher.request.assert_called_once_with([5, 6])
        upgrade.begin()
        parts.next = [Answer(STARTED, NEW)]
        upgrade.begin()
        assert interval_s(upgrade) is None
        # Of a process before it.
        parts.next = [Answer(ENDED, NEW - 1, 1)]
        assert successor(upgrade) == NEW
        assert not parts.launcher.abandon.called
        parts.next = [Answer(ENDED, NEW, 1)]
        assert successor(upgrade) is None
        parts.notifier.take_back.assert_called_once_with()
        parts.pidfile.restore.assert_called_once_with()
        assert parts.launcher.abandon.called is forks_late
        parts.launcher.request.assert_called_once_with([5, 6])
        assert caplog.messages == [
            "upgrade is already running: its process is being started",
            f"upgrade started: process {NEW}",
            f"upgrade is already running: process {NEW}",
            f"upgrade ended: process {NEW} exited with status 1",
        ]

    def test_successor_that_cannot_be_asked_is_running(
        self, parts: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upgrade = self.upgrade(parts)
        upgrade.begin()
        parts.next = [Answer(STARTED, NEW)]
        upgrade.advance()
        parts.launcher.is_running = False
        kill = Mock(side_effect=PermissionError)
        monkeypatch.setattr(os, "kill", kill)
        assert successor(upgrade) == NEW
        kill.assert_called_once_with(NEW, 0)
        assert interval_s(upgrade) is not None

    def test_no_start_while_the_pidfile_is_another_s(
        self, parts: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts.pidfile.rename_for_upgrade.side_effect = PidfileInUseError("it is another's")
        upgrade = self.upgrade(parts)
        upgrade.begin()
        assert not parts.launcher.request.called
        assert (interval_s(upgrade), successor(upgrade)) == (None, None)
        assert caplog.messages == ["no upgrade: it is another's"]

    @pytest.mark.parametrize("forks_late", [True, False])
    def test_launcher_that_takes_no_request(
        self, parts: Any, caplog: pytest.LogCaptureFixture, *, forks_late: bool
    ) -> None:
        parts.launcher.request.side_effect = OSError(errno.EMFILE, "no room", "/bin/x")
        upgrade = self.upgrade(parts, forks_late=forks_late)
        upgrade.begin()
        assert interval_s(upgrade) is None
        assert caplog.messages == ["no upgrade: cannot start program: /bin/x: no room (EMFILE)"]
        parts.pidfile.restore.assert_called_once_with()
        assert parts.launcher.abandon.called is forks_late

    @pytest.mark.parametrize(
        ("first", "said"),
        [
            (False, []),
            (
                OSError(errno.EROFS, "read only"),
                ["cannot take the pidfile back: read only (EROFS)"],
            ),
        ],
    )
    def test_pidfile_is_taken_back_when_it_is_free(
        self, parts: Any, caplog: pytest.LogCaptureFixture, first: Any, said: list[str]
    ) -> None:
        # A failed start is followed by two attempts in the same turn.
        parts.pidfile.restore.side_effect = [first, first, True]
        upgrade = self.upgrade(parts)
        upgrade.begin()
        parts.next = [Answer(FAILED, NEW, errno.ENOENT)]
        upgrade.advance()
        assert caplog.messages[1:] == said * 2
        assert interval_s(upgrade) is not None
        upgrade.advance()
        assert interval_s(upgrade) is None
        upgrade.advance()
        assert parts.pidfile.restore.call_count == 3

    def test_next_upgrade_ends_the_attempts_to_take_the_pidfile_back(self, parts: Any) -> None:
        parts.pidfile.restore.return_value = False
        upgrade = self.upgrade(parts)
        upgrade.begin()
        parts.next = [Answer(FAILED, NEW, errno.ENOENT)]
        upgrade.begin()
        attempts = parts.pidfile.restore.call_count
        upgrade.advance()
        assert parts.pidfile.restore.call_count == attempts

    def test_node_without_a_pidfile(self, parts: Any) -> None:
        upgrade = Upgrade(parts.launcher, None, parts.notifier, [], forks_late=False)
        upgrade.begin()
        parts.next = [Answer(FAILED, NEW, errno.ENOENT)]
        upgrade.advance()
        assert interval_s(upgrade) is None
