"""Starting threads, and refusals by the system."""

from __future__ import annotations

import errno
import gc
import logging
import signal
import threading
import time
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest.mock import MagicMock

import pytest

from mogpoll import threads
from mogpoll.threads import (
    RareLog,
    ThreadRefused,
    log_exception,
    start_thread,
    try_start_thread,
)
from tests.support.threads import Running
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


def blocked_signals() -> set[int]:
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


def joined(thread: threading.Thread) -> threading.Thread:
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    return thread


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def start(_: threading.Thread) -> None:
        raise error

    monkeypatch.setattr(threading.Thread, "start", start)


def test_thread_is_a_daemon_of_that_name_with_signals_blocked() -> None:
    before = blocked_signals()
    seen: list[tuple[str, bool, set[int]]] = []

    def run() -> None:
        current = threading.current_thread()
        seen.append((current.name, current.daemon, blocked_signals()))

    joined(start_thread(run, "one", unblocked=frozenset({signal.SIGURG})))
    ((name, is_daemon, blocked),) = seen
    assert (name, is_daemon) == ("one", True)
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD} <= blocked
    assert not {signal.SIGURG, signal.SIGSEGV} & blocked
    assert blocked_signals() == before


def test_lasting_thread_calls_again_after_an_error_until_it_returns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append)
    monkeypatch.setattr(threads, "time", clock)
    monkeypatch.setattr(threads, "_failures", RareLog())
    calls: list[int] = []

    def run() -> None:
        calls.append(0)
        if len(calls) < 4:
            raise MemoryError

    joined(start_thread(run, "stubborn", lasting=True))
    assert len(calls) == 4
    assert pauses == [0.5] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "stubborn failed; it tries again: too little memory"
    ]
    assert not caplog.records[0].exc_info


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), MemoryError()], ids=["threads", "memory"]
)
def test_refusal_is_one_exception_with_the_name_and_the_mask_comes_back(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    before = blocked_signals()
    refuse(monkeypatch, error)
    with pytest.raises(ThreadRefused, match="no thread for that: "):
        start_thread(lambda: None, "that")
    assert blocked_signals() == before


def test_refusals_are_logged_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    monkeypatch.setattr(threads, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(threads, "_refusals", RareLog())
    lock = MagicMock()
    monkeypatch.setattr(threads._refusals, "_lock", lock)
    monkeypatch.setattr(threads, "name_limit", lambda: "the limit is 7")
    refuse(monkeypatch, RuntimeError("can't start new thread"))
    assert [try_start_thread(lambda: None, f"t{number}") for number in range(5)] == [None] * 5
    assert [record.getMessage() for record in caplog.records] == [
        "no thread for t0: the limit is 7; going on without it"
    ]
    now += 10.0
    try_start_thread(lambda: None, "t5")
    assert caplog.records[-1].getMessage() == (
        "no thread for t5: the limit is 7; going on without it (4 more since the last such line)"
    )
    assert lock.__enter__.call_count == 6


def test_log_that_finds_no_memory_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def error(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(logging.getLogger("mogpoll"), "error", error)
    RareLog().error("%s", "anything")


def test_thread_that_ends_before_it_has_come_up_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when memory runs out: https://github.com/python/cpython/issues/140746."""
    monkeypatch.setattr(threads, "_COMES_UP_S", 0.05)
    genuine: Callable[[threading.Thread], None] = threading.Thread._bootstrap  # type: ignore[attr-defined]

    def bootstrap(thread: threading.Thread) -> None:
        if thread.name != "stillborn":
            genuine(thread)

    monkeypatch.setattr(threading.Thread, "_bootstrap", bootstrap)
    with pytest.raises(ThreadRefused):
        Running(lambda: start_thread(print, "stillborn")).result()


def test_thread_that_comes_up_too_late_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_COMES_UP_S", 0.05)
    go_on = threading.Event()
    genuine: Callable[[threading.Thread], None] = threading.Thread._bootstrap  # type: ignore[attr-defined]
    late: list[threading.Thread] = []

    def bootstrap(thread: threading.Thread) -> None:
        if thread.name == "late":
            late.append(thread)
            go_on.wait()
        genuine(thread)

    monkeypatch.setattr(threading.Thread, "_bootstrap", bootstrap)
    calls: list[int] = []
    with pytest.raises(ThreadRefused, match="late"):
        start_thread(lambda: calls.append(0), "late")
    go_on.set()
    wait_until(lambda: late and late[0].ident, "it has come up")
    joined(late[0])
    assert calls == []


def test_thread_that_has_ended_keeps_nothing_of_its_owner_alive() -> None:
    class Owner:
        def __init__(self) -> None:
            self.thread = start_thread(self.run, "owned")

        def run(self) -> None:
            pass

    gc.disable()
    try:
        owner = Owner()
        joined(owner.thread)
        last = weakref.ref(owner)
        del owner
        assert last() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("shortage", [MemoryError(), OSError(errno.ENOMEM, "no memory")], ids=repr)
@pytest.mark.parametrize("wraps", [False, True], ids=["itself", "behind another"])
def test_want_of_memory_is_logged_without_a_traceback_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    shortage: Exception,
    wraps: bool,
) -> None:
    monkeypatch.setattr(threads, "_shortages", RareLog())
    for number in range(3):
        try:
            try:
                raise shortage
            except (MemoryError, OSError):
                if not wraps:
                    raise
                # As a parser does whose callback finds none.
                raise ValueError("callback error")  # noqa: B904
        except (MemoryError, OSError, ValueError):
            log_exception("step %d failed", number)
    assert [record.getMessage() for record in caplog.records] == [
        "step 0 failed: too little memory"
    ]
    assert not caplog.records[0].exc_info
