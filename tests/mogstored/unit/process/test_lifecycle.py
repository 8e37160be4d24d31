"""What the leading process reports, to whom, and in which order."""

from __future__ import annotations

import signal
from dataclasses import fields
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call

import pytest

from mogstored.admin.control import DRAINING, SERVING
from mogstored.config import Option, load
from mogstored.process.lifecycle import Lifecycle
from tests.support.snapshots import FACTS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def parts() -> Mock:
    parts = Mock(caller=None, took_over=False, apply=None)
    parts.upgrade.successor = None
    for part in ("upgrade", "admin", "orphans"):
        getattr(parts, part).interval_s = None
    parts.notifier.keepalive_interval_s = None
    return parts


def lifecycle(parts: Mock) -> Lifecycle:
    return Lifecycle(**{each.name: getattr(parts, each.name) for each in fields(Lifecycle)})


def facts(parts: Mock) -> Any:
    """Return what the admin process knows after the last update."""
    return parts.admin.update.call_args.args[0](FACTS)


@pytest.mark.parametrize("took_over", [False, True])
def test_ready(parts: Mock, caplog: pytest.LogCaptureFixture, *, took_over: bool) -> None:
    caplog.set_level("INFO", "mogstored")
    parts.took_over = took_over
    parts.caller = Mock() if took_over else None
    lifecycle(parts).announce_ready()
    parts.notifier.ready.assert_called_once_with(takes_over=took_over)
    if parts.caller is not None:
        parts.caller.report.assert_called_once_with()
    assert facts(parts) == FACTS._replace(state=SERVING)
    assert caplog.messages == ["ready"]


@pytest.mark.parametrize(
    ("successor", "report"), [(None, call.stopping()), (77, call.hand_over(77))]
)
def test_stopping(
    parts: Mock, caplog: pytest.LogCaptureFixture, successor: int | None, report: Any
) -> None:
    caplog.set_level("INFO", "mogstored")
    parts.upgrade.successor = successor
    has_successor = successor is not None
    assert lifecycle(parts).announce_stopping() is has_successor
    assert parts.notifier.mock_calls == [report]
    parts.title.show_stopping.assert_called_once_with()
    assert facts(parts) == FACTS._replace(state=DRAINING, is_succeeded=has_successor)
    assert caplog.messages == ["stopping"]


def test_successor_is_named_though_the_launcher_does_not_end(parts: Mock) -> None:
    parts.upgrade.successor = 7
    parts.upgrade.let_go.side_effect = MemoryError
    assert lifecycle(parts).announce_stopping()
    assert parts.notifier.mock_calls == [call.hand_over(7)]


@pytest.mark.parametrize(
    ("received", "stops", "calls"),
    [
        ([], False, [call.upgrade.advance(), call.admin.advance()]),
        ([signal.SIGUSR1], False, [call.upgrade.advance(), call.admin.advance()]),
        (
            [signal.SIGUSR2],
            False,
            [call.upgrade.begin(), call.upgrade.advance(), call.admin.advance()],
        ),
        ([signal.SIGTERM, signal.SIGUSR2], True, [call.upgrade.begin()]),
        ([signal.SIGTERM, signal.SIGHUP], True, []),
        ([signal.SIGUSR2, signal.SIGQUIT], True, [call.upgrade.begin()]),
        ([signal.SIGINT], True, []),
    ],
)
def test_signals(parts: Mock, received: list[int], *, stops: bool, calls: list[Any]) -> None:
    assert lifecycle(parts).wants_stop(received) is stops
    assert parts.mock_calls == calls


@pytest.mark.parametrize("has_processes", [True, False])
def test_reload(parts: Mock, tmp_path: Path, *, has_processes: bool) -> None:
    config, _ = load([Option("docroot", str(tmp_path)), Option("log_level", "debug")], {})
    parts.reloader.reload = lambda apply: apply(config)
    leader = lifecycle(parts)
    leader.apply = parts.apply = Mock() if has_processes else None
    leader.wants_stop([signal.SIGHUP])
    parts.log.reopen.assert_called_once_with()
    if parts.apply is not None:
        parts.apply.assert_called_once_with(config)
    assert facts(parts) == FACTS._replace(access=(), log_level="debug")


@pytest.mark.parametrize("name", ["upgrade", "admin", "notifier", "orphans"])
def test_wait_is_the_shortest_of_all(parts: Mock, name: str) -> None:
    assert lifecycle(parts).wait_interval_s() is None
    part = getattr(parts, name)
    part.interval_s = part.keepalive_interval_s = 0.5
    assert lifecycle(parts).wait_interval_s() == 0.5
