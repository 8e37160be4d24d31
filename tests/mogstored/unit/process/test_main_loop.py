"""The main thread survives exceptions in its loop, and logs them at a limited rate."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from mogpoll import ThreadRefused
from mogpoll.threads import RareLog
from mogstored.process import main_loop
from mogstored.process.main_loop import log_the_end, run_loop, survive
from mogstored.process.shortage import TOO_LITTLE_MEMORY
from tests.mogstored.shortages import FAULTS, SHORTAGES

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(main_loop, "time", SimpleNamespace(sleep=made.append))
    monkeypatch.setattr(main_loop, "_failures", RareLog())
    return made


def test_loop_survives_errors_until_it_is_over(
    caplog: pytest.LogCaptureFixture, pauses: list[float]
) -> None:
    script: list[Callable[[], bool]] = [_fail, lambda: False, _fail, lambda: True]
    run_loop(lambda: script.pop(0)())
    assert script == []
    assert pauses == [0.1] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "the main thread failed; it goes on: too little memory"
    ]


def test_what_ends_a_process_is_passed_on() -> None:
    with pytest.raises(SystemExit):
        survive(_exit)


FEWER_THREADS = "raise the limit, or set fewer threads (--aio-threads)"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ThreadRefused("no thread for a: b"),
            f"the node cannot serve: no thread for a: b; {FEWER_THREADS}",
        ),
        *((error, f"the node cannot serve: {TOO_LITTLE_MEMORY}") for error in SHORTAGES),
    ],
    ids=repr,
)
def test_shortage_is_one_line_with_what_to_do(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    log_the_end("the node", error)
    (record,) = caplog.records
    assert record.getMessage() == said
    assert record.exc_info is None


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_fault_is_logged_with_its_traceback(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    log_the_end("worker[1]", error)
    (record,) = caplog.records
    assert record.getMessage() == "worker[1] failed"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def _fail() -> bool:
    raise MemoryError


def _exit() -> bool:
    raise SystemExit
