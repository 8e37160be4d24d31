"""The start of a node, as far as it shows nowhere else: its order, and what it leaves behind."""

from __future__ import annotations

import errno
import gc
import os
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call

import pytest

from mogstored import startup
from mogstored.config import ConfigError
from mogstored.config.values.processes import ProcessCount
from mogstored.process.supervision.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def collector() -> Iterator[None]:
    """The garbage collector, as it was before."""
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("collector")
def test_garbage_is_collected_again_among_what_comes_later() -> None:
    gc.disable()
    startup._share_objects()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = Mock()
    monkeypatch.setattr(startup, "_share_objects", found.share_objects)
    monkeypatch.setattr(startup, "_leading_process", lambda _: found.process)
    return found


SERVING = [
    call.signals.flusher.add("log"),
    call.signals.flusher.add("notifier"),
    call.share_objects(),
    # It is forked before this process has threads.
    call.admin.start(),
]
ENDING = [
    # Nothing of a node is left when it has ended.
    call.admin.end(2.0),
    call.upgrade.let_go(),
]


def lifecycle(steps: Any) -> Any:
    return Mock(
        signals=steps.signals,
        admin=steps.admin,
        upgrade=steps.upgrade,
        log="log",
        notifier="notifier",
    )


def test_node_that_serves_and_ends(steps: Any) -> None:
    made = lifecycle(steps)
    startup._serve(steps.config, [], made)
    ran = [call.process(steps.config, [], made), call.process().run()]
    assert steps.mock_calls == [*SERVING, *ran, *ENDING]


def test_node_that_cannot_serve_ends_its_processes(steps: Any) -> None:
    steps.process.return_value.run.side_effect = ConfigError("no")
    with pytest.raises(ConfigError):
        startup._serve(steps.config, [], lifecycle(steps))
    assert steps.mock_calls[-2:] == ENDING


@pytest.mark.parametrize(("processes", "starts_early"), [(0, True), (1, False), (2, False)])
def test_launcher_is_forked_before_a_single_process_has_threads(
    processes: int, starts_early: bool
) -> None:
    config: Any = Mock(worker_processes=ProcessCount(processes))
    launcher: Any = Mock(**{"answers.return_value": []})
    listener: Any = Mock()
    listener.sock.fileno.return_value = 7
    upgrade = startup._prepare_upgrade(config, Mock(), launcher, [listener], None)
    assert launcher.start.called is starts_early
    upgrade.begin()
    # The other is forked for each upgrade.
    assert launcher.start.called
    launcher.request.assert_called_once_with([7])


def test_node_without_a_launcher_serves(caplog: pytest.LogCaptureFixture) -> None:
    launcher: Any = Mock()
    launcher.start.side_effect = OSError(errno.EAGAIN, "refused")
    startup._start_early(launcher)
    assert caplog.messages == [
        "this node cannot be upgraded: no launcher process: refused (EAGAIN)"
    ]


def test_node_that_cannot_detach(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(startup, "daemonize", Mock(side_effect=OSError(errno.EAGAIN, "refused")))
    with pytest.raises(ConfigError, match=r"^cannot detach: refused \(EAGAIN\)$"):
        startup._detach("mogstored", is_detached=False)
    # Its stderr may have no reader.
    assert caplog.messages == ["cannot detach: refused (EAGAIN)"]


def test_upgraded_daemon_is_detached_already(monkeypatch: pytest.MonkeyPatch) -> None:
    chdir, daemonize = Mock(), Mock()
    monkeypatch.setattr(os, "chdir", chdir)
    monkeypatch.setattr(startup, "daemonize", daemonize)
    assert startup._detach("mogstored", is_detached=True) is None
    chdir.assert_called_once_with("/")
    assert not daemonize.called
    assert startup._detach("mogstored", is_detached=False) is daemonize.return_value
    chdir.assert_called_once_with("/")


@pytest.mark.parametrize("fails", [True, False])
def test_log_and_notifications_are_flushed_at_the_end(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    made = Mock()
    made.run.side_effect = ConfigError("no") if fails else None
    made.run.return_value = 0
    for name in ("log_uncaught", "flush_before_exit", "Title"):
        monkeypatch.setattr(startup, name, getattr(made, name))
    monkeypatch.setattr(startup, "_open_log", made.open_log)
    monkeypatch.setattr(startup, "_run", made.run)
    monkeypatch.setattr(Notifier, "from_environment", made.notifier)
    if fails:
        with pytest.raises(ConfigError):
            startup.run(Mock(), "prog", Mock())
    else:
        assert startup.run(Mock(), "prog", Mock()) == 0
    made.log_uncaught.assert_called_once_with()
    logged = made.open_log.return_value, made.notifier.return_value
    made.flush_before_exit.assert_called_once_with(logged)
