"""The choice of the backend: the system's own, or the one that the environment names."""

from __future__ import annotations

import errno
import select
import subprocess
import sys

import pytest

from mogpoll import EpollPoller, KqueuePoller, open_poller
from tests.mogpoll.backends import Backend


def test_environment_names_the_backend(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOGPOLL_BACKEND", backend.name)
    opened, expected = open_poller(), backend.open()
    same = type(opened) is type(expected)
    opened.close()
    expected.close()
    assert same


@pytest.mark.skipif("sys.platform != 'linux'", reason="counts what Linux lists below /proc")
def test_backend_is_found_without_a_thread_or_a_descriptor(backend: Backend) -> None:
    """The process may fork later; libkqueue starts a thread with its first queue."""
    code = """
import os
from mogpoll.backends import find_backend

def counts():
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))

before = counts()
make = find_backend()
assert counts() == before, (before, counts())
make().close()
"""
    command = [sys.executable, "-P", "-c", code]
    subprocess.run(command, env=backend.environment(), check=True, timeout=60)


@pytest.mark.parametrize("value", ["", None])
def test_platform_has_a_backend_of_its_own(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("MOGPOLL_BACKEND", raising=False)
    else:
        monkeypatch.setenv("MOGPOLL_BACKEND", value)
    opened = open_poller()
    opened.close()
    assert isinstance(opened, EpollPoller if hasattr(select, "epoll") else KqueuePoller)


@pytest.mark.parametrize("name", ["poll", "EPOLL", "kqueue "])
def test_unknown_backend_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MOGPOLL_BACKEND", name)
    with pytest.raises(ValueError, match="MOGPOLL_BACKEND"):
        open_poller()


def test_epoll_cannot_be_had_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOGPOLL_BACKEND", "epoll")
    monkeypatch.delattr(select, "epoll", raising=False)
    with pytest.raises(OSError, match="no epoll") as refused:
        open_poller()
    assert refused.value.errno == errno.ENOSYS


def test_kqueue_cannot_be_had_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "kqueue", raising=False)
    with pytest.raises(OSError, match="no kqueue") as refused:
        KqueuePoller()
    assert refused.value.errno == errno.ENOSYS


def test_kqueue_needs_a_kernel_or_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOGPOLL_BACKEND", "kqueue")
    monkeypatch.delattr(select, "kqueue", raising=False)
    monkeypatch.delenv("MOGPOLL_LIBKQUEUE", raising=False)
    with pytest.raises(OSError, match="MOGPOLL_LIBKQUEUE"):
        open_poller()


def test_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOGPOLL_BACKEND", "kqueue")
    monkeypatch.delattr(select, "kqueue", raising=False)
    monkeypatch.setenv("MOGPOLL_LIBKQUEUE", "/nowhere/libkqueue.so")
    with pytest.raises(OSError, match="/nowhere/libkqueue"):
        open_poller()
