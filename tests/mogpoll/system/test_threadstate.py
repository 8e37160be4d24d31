"""Sleeping threads are distinguished from runnable ones."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mogpoll.system import threadstate
from mogpoll.system.threadstate import is_runnable, waited_s
from tests.support.threads import join
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows thread states")


@pytest.fixture(params=["a name", ") S", ") R", "R"])
def idler(request: pytest.FixtureRequest) -> Iterator[threading.Thread]:
    """A sleeping thread whose name looks like a state."""
    until = threading.Event()
    thread = threading.Thread(target=_sleep_under, args=(request.param, until))
    thread.start()
    yield thread
    until.set()
    join(thread)


def _sleep_under(name: str, until: threading.Event) -> None:
    """Wait, in a thread whose name is set in the kernel."""
    Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name)
    until.wait()


def _compute(over: threading.Event) -> None:
    while not over.is_set():
        sum(range(1000))


def test_one_who_sleeps_wants_none(idler: threading.Thread) -> None:
    assert idler.native_id is not None
    wait_until(lambda: not is_runnable(idler.native_id or 0), "it sleeps")


def test_one_who_asks_has_one() -> None:
    assert is_runnable(threading.get_native_id())


def test_one_who_computes_wants_one() -> None:
    over = threading.Event()
    thread = threading.Thread(target=lambda: _compute(over))
    thread.start()
    try:
        wait_until(lambda: is_runnable(thread.native_id or 0), "it is ready to run")
    finally:
        over.set()
        join(thread)


def test_one_who_has_ended_wants_none() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    wait_until(lambda: not is_runnable(thread.native_id or 0), "it has ended")


def test_unknown_thread_is_not_runnable() -> None:
    assert not is_runnable(0)


@pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists(), reason="the system does not say it"
)
def test_wait_for_a_processor_is_measured() -> None:
    busy = "import os; os.sched_setaffinity(0, {int(input())})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE) as other:
        assert other.stdin is not None
        grown = threading.Event()

        def compete() -> None:
            # Of this thread alone.
            processor = min(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {processor})
            assert other.stdin is not None
            other.stdin.write(b"%d\n" % processor)
            other.stdin.flush()
            before = waited_s()
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until:
                if waited_s() > before + 0.01:
                    grown.set()
                    return

        thread = threading.Thread(target=compete)
        thread.start()
        join(thread)
        other.kill()
    assert grown.is_set()


def test_unknown_wait_for_a_processor_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> BytesIO:
        raise FileNotFoundError

    for opened in (absent, lambda *_, **__: BytesIO(b"")):
        monkeypatch.setattr(threadstate, "open", opened, raising=False)
        assert waited_s() == 0.0
