"""The I/O priority of one thread, on systems that have one."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from types import SimpleNamespace

import psutil
import pytest

from mogpoll import lowered_io_priority
from mogpoll.system import iopriority
from tests.support.threads import join

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux") or iopriority._system_calls() is None,
    reason="no I/O priorities known for this system and machine",
)


def priority() -> tuple[int, int]:
    """Return class and level of the calling thread."""
    ioclass, level = psutil.Process(threading.get_native_id()).ionice()
    return int(ioclass), level


@linux_only
def test_thread_is_at_the_lowest_level_inside() -> None:
    with lowered_io_priority():
        assert priority() == (2, 7)


@linux_only
def test_thread_reads_only_while_others_do_not() -> None:
    before = priority()
    with lowered_io_priority(idle=True):
        assert priority()[0] == 3
    assert priority() == before


@linux_only
def test_priority_is_restored() -> None:
    before = priority()
    with lowered_io_priority():
        pass
    assert priority() == before


@linux_only
def test_priority_is_restored_after_a_failure() -> None:
    before = priority()
    with pytest.raises(KeyError), lowered_io_priority():
        raise KeyError
    assert priority() == before


@linux_only
def test_other_threads_keep_theirs() -> None:
    before = priority()
    seen: list[tuple[int, int]] = []
    lowered, looked = threading.Event(), threading.Event()

    def lower() -> None:
        with lowered_io_priority():
            seen.append(priority())
            lowered.set()
            assert looked.wait(10.0)

    thread = threading.Thread(target=lower)
    thread.start()
    assert lowered.wait(10.0)
    assert priority() == before
    looked.set()
    join(thread)
    assert seen == [(2, 7)]


@linux_only
def test_idle_class_is_kept() -> None:
    seen: list[tuple[int, int]] = []

    def be_idle() -> None:
        calls = iopriority._system_calls()
        assert calls is not None
        calls[0](1, 0, 3 << 13)
        with lowered_io_priority():
            seen.append(priority())

    thread = threading.Thread(target=be_idle)
    thread.start()
    join(thread)
    assert seen[0][0] == 3


@pytest.mark.parametrize(
    ("platform", "word", "machine", "numbers"),
    [
        ("linux", 2**63 - 1, "x86_64", (251, 252)),
        ("linux", 2**63 - 1, "aarch64", (30, 31)),
        ("linux", 2**63 - 1, "riscv64", (30, 31)),
        ("linux", 2**63 - 1, "loongarch64", (30, 31)),
        ("linux", 2**63 - 1, "ppc64le", (273, 274)),
        ("linux", 2**63 - 1, "s390x", (282, 283)),
        # A program of 32 bits on a kernel of 64, an unknown machine, another system.
        ("linux", 2**31 - 1, "x86_64", None),
        ("linux", 2**63 - 1, "vax", None),
        ("freebsd15", 2**63 - 1, "x86_64", None),
    ],
)
def test_calls_of_each_machine(
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    word: int,
    machine: str,
    numbers: tuple[int, int] | None,
) -> None:
    called: list[list[int]] = []

    class Syscall:
        def __call__(self, *arguments: ctypes.c_long) -> int:
            called.append([each.value for each in arguments])
            return 7

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(sys, "maxsize", word)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(syscall=Syscall()))
    calls = iopriority._system_calls.__wrapped__()
    monkeypatch.undo()
    if calls is None:
        assert numbers is None
        return
    assert [call(1, 0) for call in calls] == [7, 7]
    assert called == [[number, 1, 0] for number in numbers or ()]


def test_nothing_happens_where_there_is_no_such_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iopriority, "_system_calls", lambda: None)
    with lowered_io_priority():
        pass
