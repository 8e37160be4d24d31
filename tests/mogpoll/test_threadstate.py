"""Threads that wait are told from threads that would run."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mogpoll.threadstate import wants_processor
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells what its threads wait for"
)


@pytest.fixture(params=["a name", ") S", ") R", "R"])
def idler(request: pytest.FixtureRequest) -> Iterator[threading.Thread]:
    """A thread asleep, whose name tries to be mistaken for a state."""
    until = threading.Event()
    thread = threading.Thread(target=_sleep_under, args=(request.param, until))
    thread.start()
    yield thread
    until.set()
    thread.join(20)
    assert not thread.is_alive()


def _sleep_under(name: str, until: threading.Event) -> None:
    """Wait, in a thread whose name the kernel knows."""
    Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name)
    until.wait()


def _compute(over: threading.Event) -> None:
    while not over.is_set():
        sum(range(1000))


def test_one_who_sleeps_wants_none(idler: threading.Thread) -> None:
    assert idler.native_id is not None
    wait_until(lambda: not wants_processor(idler.native_id or 0), "it sleeps")


def test_one_who_asks_has_one() -> None:
    assert wants_processor(threading.get_native_id())


def test_one_who_computes_wants_one() -> None:
    over = threading.Event()
    thread = threading.Thread(target=lambda: _compute(over))
    thread.start()
    try:
        wait_until(lambda: wants_processor(thread.native_id or 0), "it is ready to run")
    finally:
        over.set()
        thread.join(20)
    assert not thread.is_alive()


def test_one_who_has_ended_wants_none() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    wait_until(lambda: not wants_processor(thread.native_id or 0), "it has ended")


def test_nobody_wants_none() -> None:
    assert not wants_processor(0)
