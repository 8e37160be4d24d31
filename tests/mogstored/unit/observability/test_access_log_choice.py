"""Another access log takes the place of one, unless the system refuses it a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mogpoll.threads import ThreadRefused
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
