"""Interrupting a thread in a blocking call: the poke, its handler, the masks."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll import install_poke_handler, stopping
from mogpoll.stopping import PokableThread
from mogpoll.threads import signals_blocked
from tests.support.threads import Running, join

if TYPE_CHECKING:
    from collections.abc import Iterator

libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def no_handler() -> Iterator[None]:
    previous = signal.signal(signal.SIGURG, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGURG, previous)


class BlockedRead:
    """A read of an empty pipe that can be interrupted, unlike Python's."""

    def __init__(self) -> None:
        self.fds = os.pipe()
        self.running = True
        self.interruptions = 0
        self.thread = PokableThread(self._run, "blocked-read")

    def _run(self) -> None:
        buffer = ctypes.create_string_buffer(1)
        while self.running:
            if libc.read(self.fds[0], buffer, 1) < 0:
                assert ctypes.get_errno() == errno.EINTR
                self.interruptions += 1

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def blocked() -> Iterator[BlockedRead]:
    install_poke_handler()
    made = BlockedRead()
    yield made
    made.running = False
    Running(made.thread.poke_until_gone).result()
    made.close()


def test_n21_poke_ends_a_blocked_call(blocked: BlockedRead) -> None:
    blocked.thread.start()
    blocked.running = False
    Running(blocked.thread.poke_until_gone).result()
    assert not blocked.thread.is_alive()


def test_n23_thread_that_never_ran_is_gone(blocked: BlockedRead) -> None:
    blocked.thread.poke_until_gone()
    assert not blocked.thread.is_alive()


def test_n23_thread_that_has_ended_is_not_signalled(
    blocked: BlockedRead, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked.running = False
    blocked.thread.start()
    join(blocked.thread)
    sent: list[int] = []
    monkeypatch.setattr(signal, "pthread_kill", lambda ident, _: sent.append(ident))
    blocked.thread._poke()
    blocked.thread.poke_until_gone()
    assert sent == []


def test_n23_thread_notes_its_end_under_the_lock_of_the_poke(
    blocked: BlockedRead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a poke is being sent, the thread cannot end."""
    sending, go_on = threading.Event(), threading.Event()
    real = signal.pthread_kill

    def kill(ident: int, number: int) -> None:
        sending.set()
        assert go_on.wait(20)
        real(ident, number)

    monkeypatch.setattr(signal, "pthread_kill", kill)
    blocked.thread.start()
    blocked.running = False
    poking = Running(blocked.thread._poke)
    assert sending.wait(20)
    os.write(blocked.fds[1], b".")
    blocked.thread.join(0.05)
    was_alive = blocked.thread.is_alive()
    go_on.set()
    poking.result()
    join(blocked.thread)
    assert (was_alive, blocked.thread.is_alive()) == (True, False)


def test_n23_thread_that_raises_is_gone_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_value))

    def run() -> None:
        raise RuntimeError("over")

    thread = PokableThread(run, "raises")
    thread.start()
    join(thread)
    thread.poke_until_gone()
    assert [str(error) for error in raised] == ["over"]


@pytest.mark.usefixtures("no_handler")
def test_n24_handler_is_installed_in_the_main_thread() -> None:
    install_poke_handler()
    assert signal.getsignal(signal.SIGURG) is stopping._do_nothing


@pytest.mark.usefixtures("no_handler")
@pytest.mark.parametrize("ignored", [signal.SIG_DFL, signal.SIG_IGN])
def test_n24_handler_replaces_what_would_interrupt_nothing(ignored: signal.Handlers) -> None:
    signal.signal(signal.SIGURG, ignored)
    install_poke_handler()
    assert signal.getsignal(signal.SIGURG) is stopping._do_nothing


@pytest.mark.usefixtures("no_handler")
def test_n24_handler_of_the_program_is_left_alone() -> None:
    def own(*_: object) -> None:
        pass

    signal.signal(signal.SIGURG, own)
    install_poke_handler()
    assert signal.getsignal(signal.SIGURG) is own


@pytest.mark.usefixtures("no_handler")
def test_n24_other_threads_cannot_install_it_and_say_so() -> None:
    with pytest.raises(RuntimeError, match="install_poke_handler"):
        Running(install_poke_handler).result()


def test_n24_other_threads_may_ask_for_what_is_installed() -> None:
    install_poke_handler()
    Running(install_poke_handler).result()


def blocked_signals() -> set[int]:
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


def test_n25_thread_inherits_the_mask_and_ours_comes_back() -> None:
    before = blocked_signals()
    with signals_blocked(but=frozenset({signal.SIGURG})):
        inside = Running(blocked_signals).result()
    assert blocked_signals() == before
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1} <= inside
    assert not {signal.SIGURG, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT} & inside


def test_n25_mask_comes_back_after_a_failure() -> None:
    before = blocked_signals()
    with pytest.raises(RuntimeError), signals_blocked():
        raise RuntimeError
    assert blocked_signals() == before


def test_n23_pokes_leave_the_thread_time_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = PokableThread(print, "ends late")
    is_alive = iter([True, True, False])
    waits: list[float] = []
    ends_late: Any = SimpleNamespace(
        ident=None, is_alive=lambda: next(is_alive), join=waits.append
    )
    monkeypatch.setattr(thread, "_thread", ends_late)
    thread.poke_until_gone()
    assert len(waits) == 2
    assert 0.0 < max(waits) < 0.02
