"""Another access log takes the place of one, unless the system refuses it a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import Mock, call

from mogpoll.threads import ThreadRefused
from mogstored.observability import access_log_choice as module
from mogstored.observability.access_log import AccessLog
from mogstored.observability.access_log_choice import AccessLogChoice

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_log_that_is_refused_a_thread_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    published: list[AccessLog | None] = []
    choice = AccessLogChoice(None, "combined", published.append)
    path = tmp_path / "access.log"

    def refuse(_: AccessLog) -> None:
        raise ThreadRefused("no thread for access-log: RLIMIT_NPROC")

    with monkeypatch.context() as patch:
        patch.setattr(AccessLog, "start", refuse)
        choice.apply(str(path), "json")
    assert published == []
    assert caplog.messages == [
        "access_log stays as it was: no thread for access-log: RLIMIT_NPROC; send HUP again"
    ]
    choice.apply(str(path), "json")
    assert published == [choice.log]
    assert choice.log is not None
    choice.stop()
    assert path.exists()


def test_log_is_replaced_or_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Mock] = []

    def make(destination: str, format_name: str) -> Mock:
        made.append(Mock(settings=(destination, format_name), dropped=10 ** len(made)))
        return made[-1]

    monkeypatch.setattr(module, "AccessLog", make)
    published: list[object] = []
    choice = AccessLogChoice("/a", "combined", published.append)
    choice.start()
    choice.apply("/a", "combined")
    (first,) = made
    assert first.mock_calls == [call.start(), call.reopen()]
    choice.apply("/a", "json")
    _, second = made
    assert [each.settings for each in made] == [("/a", "combined"), ("/a", "json")]
    assert first.mock_calls[-1] == call.stop()
    assert second.mock_calls == [call.start()]
    choice.apply(None, "json")
    assert second.mock_calls[-1] == call.stop()
    assert published == [second, None]
    choice.apply(None, "json")
    choice.start()
    choice.stop()
    assert len(made) == 2
    assert choice.count_dropped() == 11
