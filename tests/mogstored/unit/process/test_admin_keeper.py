"""The leading process keeps an admin process, and lets it know of the node."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call

import pytest

from mogstored.admin.control import ControlReader, ControlWriter, NodeFacts, ServingProcess
from mogstored.observability.frames import LENGTH
from mogstored.observability.snapshot import ProcessSnapshot
from mogstored.observer import REQUEST, Observer
from mogstored.process.admin import keeper as module
from mogstored.process.admin.keeper import (
    AdminKeeper,
    ChannelEnds,
    ForkingSpawner,
    LauncherSpawner,
)
from tests.support.clock import stop_clock
from tests.support.snapshots import FACTS
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESS = ServingProcess(0, 1001)


class FakeSpawner:
    """Keeps the admin process's end of the control channel; `fail` is raised by a start."""

    def __init__(self) -> None:
        self.controls: list[ControlReader] = []
        self.channels: list[socket.socket] = []
        self.fail: OSError | None = None
        self.end: str | None = None
        self.is_blind = False
        self.is_released = False

    def start(self, control: socket.socket) -> None:
        if self.fail is not None:
            raise self.fail
        self.controls.append(ControlReader(control.dup()))

    def how_it_ended(self) -> str | None:
        end, self.end = self.end, None
        return end

    def release(self) -> None:
        self.is_released = True

    def received(self) -> list[NodeFacts | ServingProcess]:
        """Return what the present process has been sent; keeps the channels."""
        found: list[NodeFacts | ServingProcess] = []
        for message in self.controls[-1].receive():
            if isinstance(message, NodeFacts):
                found.append(message)
            else:
                found.append(message[0])
                message[1].settimeout(PATIENCE_S)
                self.channels.append(message[1])
        return found

    def close(self) -> None:
        for control in self.controls:
            control.close()
        for channel in self.channels:
            channel.close()


@pytest.fixture
def spawner() -> Iterator[FakeSpawner]:
    found = FakeSpawner()
    yield found
    found.close()


@pytest.fixture
def keeper(spawner: FakeSpawner, monkeypatch: pytest.MonkeyPatch) -> Iterator[AdminKeeper]:
    monkeypatch.setattr(module, "_MIN_INTERVAL_S", 0.0)
    monkeypatch.setattr(module, "_RETRY_S", 0.0)
    monkeypatch.setattr(module, "_CHECK_S", 0.0)
    found = AdminKeeper(spawner, FACTS)
    yield found
    found.disown()


def opened(keeper: AdminKeeper) -> ChannelEnds:
    channel = keeper.open_channel()
    assert channel is not None
    return channel


@pytest.fixture
def observed(keeper: AdminKeeper) -> Iterator[Observer]:
    """A serving process that was shown to the admin process."""
    keeper.start()
    channel = opened(keeper)
    observer = Observer(channel.observers, lambda: ProcessSnapshot(1, 0, 0.0, "serving").encode())
    observer.start()
    keeper.add(PROCESS, channel.ours)
    yield observer
    observer.stop()


def answers(channel: socket.socket) -> bool:
    channel.setblocking(True)
    channel.settimeout(PATIENCE_S)
    channel.sendall(REQUEST)
    size = int(LENGTH.unpack(channel.recv(LENGTH.size, socket.MSG_WAITALL))[0])
    return len(channel.recv(size, socket.MSG_WAITALL)) == size


def test_without_a_spawner_nothing_happens() -> None:
    keeper = AdminKeeper(None, FACTS)
    keeper.start()
    keeper.advance()
    keeper.update(lambda facts: facts._replace(upgrades=1))
    assert keeper.open_channel() is None
    assert keeper.interval_s is None
    keeper.stop()


def test_facts_are_sent_at_the_start_and_when_they_change(
    keeper: AdminKeeper, spawner: FakeSpawner
) -> None:
    keeper.start()
    keeper.update(lambda facts: facts._replace(worker_restarts=1))
    assert spawner.received() == [FACTS, FACTS._replace(worker_restarts=1)]
    assert keeper.interval_s is None


@pytest.mark.usefixtures("observed")
def test_serving_process_is_introduced(spawner: FakeSpawner) -> None:
    assert spawner.received() == [FACTS, PROCESS]
    assert answers(spawner.channels[0])


@pytest.mark.usefixtures("observed")
def test_new_admin_process_gets_new_channels(
    keeper: AdminKeeper, spawner: FakeSpawner, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        spawner.received()
        # Half an answer is left in this one.
        spawner.channels[-1].sendall(REQUEST)
        assert spawner.channels[-1].recv(1)
        spawner.end = "was killed by SIGKILL"
        keeper.advance()
        assert spawner.received() == [PROCESS, FACTS]
        assert answers(spawner.channels[-1])
    assert caplog.messages == ["the admin process died: it was killed by SIGKILL"] * 3


def looks(keeper: AdminKeeper) -> bool:
    """Return whether it will look again by itself."""
    keeper.advance()
    return keeper.interval_s is not None


def test_end_that_the_spawner_does_not_see(
    keeper: AdminKeeper, spawner: FakeSpawner, caplog: pytest.LogCaptureFixture
) -> None:
    keeper.start()
    assert not looks(keeper)
    spawner.is_blind = True
    assert looks(keeper)
    assert not caplog.messages
    spawner.controls[-1].close()
    spawner.fail = BrokenPipeError("no launcher")
    keeper.advance()
    assert caplog.messages == [
        "the admin process died: it has ended",
        "no admin process: no launcher",
    ]
    assert not looks(keeper)
    assert len(caplog.messages) == 2


def test_channel_that_is_lost_on_its_way_is_sent_again(
    keeper: AdminKeeper, spawner: FakeSpawner
) -> None:
    """As to a process that has no descriptor for it."""
    keeper.start()
    channel = opened(keeper)
    keeper.add(PROCESS, channel.ours)
    spawner.end = "was killed by SIGKILL"
    keeper.advance()
    with channel.observers as observers:
        for _ in range(3):
            # Takes the byte, and leaves the descriptor to the system.
            assert observers.recv(1) != b""
            keeper.advance()
        observer = Observer(
            observers.dup(), lambda: ProcessSnapshot(1, 0, 0.0, "serving").encode()
        )
    observer.start()

    def is_settled() -> bool:
        keeper.advance()
        return keeper.interval_s is None

    wait_until(is_settled, "it has a channel")
    spawner.received()
    assert answers(spawner.channels[-1])
    observer.stop()


@pytest.mark.usefixtures("observed")
def test_channel_that_cannot_be_sent_is_sent_later(
    keeper: AdminKeeper, spawner: FakeSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_fds = socket.send_fds

    def send(sock: socket.socket, buffers: list[bytes], fds: list[int]) -> int:
        if buffers == [b"+"]:
            raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))
        return send_fds(sock, buffers, fds)

    spawner.end = "was killed by SIGKILL"
    with monkeypatch.context() as patch:
        patch.setattr(socket, "send_fds", send)
        for _ in range(2):
            keeper.advance()
            assert keeper.interval_s is not None
        assert spawner.received() == [FACTS]

    def is_settled() -> bool:
        keeper.advance()
        return keeper.interval_s is None

    wait_until(is_settled, "it has a channel")
    assert spawner.received() == [PROCESS]
    assert answers(spawner.channels[-1])


def test_answer_that_nothing_reads_any_more_is_given_up(
    keeper: AdminKeeper, spawner: FakeSpawner
) -> None:
    """Its serving process may hang in the middle of one that fills the channel."""
    keeper.start()
    channel = opened(keeper)
    size = [50_000_000]
    observer = Observer(channel.observers, lambda: bytes(size[0]))
    observer.start()
    keeper.add(PROCESS, channel.ours)
    spawner.received()
    spawner.channels[0].sendall(REQUEST)
    assert spawner.channels[0].recv(1)
    size[0] = 5
    spawner.end = "was killed by SIGKILL"
    keeper.advance()
    spawner.received()
    assert answers(spawner.channels[-1])
    observer.stop()


@pytest.mark.usefixtures("observed")
def test_channel_of_a_process_that_has_ended_is_closed(
    keeper: AdminKeeper, spawner: FakeSpawner
) -> None:
    keeper.remove(PROCESS.pid)
    spawner.received()
    spawner.end = "exited with status 1"
    keeper.advance()
    assert spawner.received() == [FACTS], "it is not introduced again"


def test_process_that_has_ended_and_was_not_reaped_gets_no_channel(
    keeper: AdminKeeper, spawner: FakeSpawner
) -> None:
    keeper.start()
    channel = opened(keeper)
    keeper.add(PROCESS, channel.ours)
    channel.observers.close()
    for _ in range(2):
        spawner.end = "exited with status 1"
        assert looks(keeper)
        assert not looks(keeper)
        assert channel.ours.fileno() == -1
        assert PROCESS not in spawner.received()


def test_channel_that_cannot_be_had_for_a_new_admin_process_is_had_later(
    keeper: AdminKeeper, spawner: FakeSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.start()
    channel = opened(keeper)
    keeper.add(PROCESS, channel.ours)
    pairs = [socket.socketpair()]

    def make_the_last() -> tuple[socket.socket, socket.socket]:
        if not pairs:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return pairs.pop()

    spawner.end = "exited with status 1"
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socketpair", make_the_last)
        keeper.advance()
    assert spawner.received() == [FACTS]
    keeper.advance()
    assert spawner.received() == [PROCESS]
    channel.observers.close()


@pytest.mark.parametrize(
    ("error", "line", "is_retried"),
    [
        (
            OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)),
            "cannot start the admin process: Resource temporarily unavailable (EAGAIN)",
            True,
        ),
        (
            BrokenPipeError("the launcher process has ended; restart the node instead"),
            "no admin process: the launcher process has ended; restart the node instead",
            False,
        ),
    ],
)
def test_process_that_cannot_be_started(
    keeper: AdminKeeper,
    spawner: FakeSpawner,
    caplog: pytest.LogCaptureFixture,
    error: OSError,
    line: str,
    is_retried: bool,
) -> None:
    spawner.fail = error
    keeper.start()
    keeper.update(lambda facts: facts._replace(upgrades=1))
    assert caplog.messages == [line]
    assert (keeper.interval_s is not None) is is_retried
    spawner.fail = None
    keeper.advance()
    assert len(spawner.controls) == int(is_retried)


@pytest.mark.parametrize("when", ["start", "send_facts"])
def test_process_that_memory_does_not_suffice_for_is_started_later(
    keeper: AdminKeeper, spawner: FakeSpawner, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def run_out(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as short:
        short.setattr(spawner if when == "start" else ControlWriter, when, run_out)
        with pytest.raises(MemoryError):
            keeper.start()
    for control in spawner.controls:
        list(control.receive())
        assert control.is_over, "nothing is half made"
    before = len(spawner.controls)
    keeper.advance()
    assert len(spawner.controls) == before + 1
    assert spawner.received() == [FACTS]
    keeper.advance()
    assert len(spawner.controls) == before + 1


def test_process_that_does_not_read_is_let_go(
    keeper: AdminKeeper, spawner: FakeSpawner, caplog: pytest.LogCaptureFixture
) -> None:
    keeper.start()
    caplog.set_level(logging.DEBUG)
    for _ in range(100_000):
        keeper.update(lambda facts: facts._replace(upgrades=facts.upgrades + 1))
        if keeper._control is None:
            break
    control = spawner.controls[-1]
    list(control.receive())
    wait_until(lambda: list(control.receive()) == [] and control.is_over, "its channel has ended")


def test_process_that_takes_no_introduction_is_let_go(
    keeper: AdminKeeper, spawner: FakeSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.start()
    monkeypatch.setattr(ControlWriter, "introduce", lambda *_: False)
    channel = opened(keeper)
    keeper.add(PROCESS, channel.ours)
    control = spawner.controls[-1]
    list(control.receive())
    assert control.is_over
    channel.observers.close()


def test_channel_cannot_be_had(
    keeper: AdminKeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socketpair", refuse)
    assert keeper.open_channel() is None
    assert caplog.messages == ["a process is not observed: Too many open files (EMFILE)"]


def test_stop_ends_the_process(keeper: AdminKeeper, spawner: FakeSpawner) -> None:
    keeper.start()
    keeper.stop()
    spawner.received()
    assert spawner.controls[-1].is_over
    assert spawner.is_released
    keeper.advance()
    assert len(spawner.controls) == 1


@pytest.mark.parametrize("ends", [True, False])
def test_end_waits_for_the_process_or_until_its_time_is_up(
    keeper: AdminKeeper, spawner: FakeSpawner, *, ends: bool
) -> None:
    keeper.start()
    [process] = spawner.controls
    done: list[bool] = []

    def run() -> None:
        wait_until(lambda: list(process.receive()) == [] and process.is_over, "the end")
        # As long as it takes to close its clients.
        time.sleep(0.1)
        done.append(True)
        process.close()

    thread = threading.Thread(target=run)
    if ends:
        thread.start()
        keeper.end(PATIENCE_S)
        assert done
        thread.join()
    else:
        keeper.end(0.01)
        spawner.received()
        assert process.is_over
    assert spawner.is_released
    assert keeper.interval_s is None


def test_times_between_starts_and_checks(
    spawner: FakeSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = stop_clock(monkeypatch, module, 1000.0)
    keeper = AdminKeeper(spawner, FACTS)

    def after(at: float) -> tuple[int, float | None]:
        """Return how many were started by then, and in how long it looks again."""
        now[0] = at
        keeper.advance()
        return len(spawner.controls), keeper.interval_s

    spawner.fail = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    keeper.start()
    assert keeper.interval_s == 10.0
    spawner.fail = None
    assert after(1009.75) == (0, 0.25)
    assert after(1010.0) == (1, None)
    spawner.end = "exited with status 1"
    assert after(1010.25) == (1, 0.75)
    assert after(1011.0) == (2, None)
    spawner.is_blind = True
    assert keeper.interval_s == 1.0
    now[0] += 5
    assert keeper.interval_s == 0.0
    assert after(1016.0) == (2, 1.0)
    assert after(1017.0) == (2, 1.0)
    # One that ran long is replaced at once.
    spawner.end = "exited with status 1"
    assert after(1017.5)[0] == 3
    keeper.disown()


def test_end_is_seen_though_the_admin_process_is_not_looked_at(
    keeper: AdminKeeper, spawner: FakeSpawner
) -> None:
    keeper.start()
    opened_ = [opened(keeper) for _ in range(2)]
    for number, ends in enumerate(opened_):
        keeper.add(ServingProcess(number, 1001 + number), ends.ours)
    keeper.remove(1001)
    assert [ends.ours.fileno() == -1 for ends in opened_] == [True, False]
    opened_[1].close()
    opened_[0].close()
    assert [each.fileno() for ends in opened_ for each in ends] == [-1] * 4


@pytest.mark.usefixtures("observed")
def test_child_closes_what_belongs_to_its_parent(
    keeper: AdminKeeper, spawner: FakeSpawner
) -> None:
    others = opened(keeper)
    keeper.add(ServingProcess(1, 1002), others.ours)
    keeper.disown()
    assert others.ours.fileno() == -1
    assert spawner.is_released
    spawner.received()
    assert spawner.controls[-1].is_over
    others.observers.close()


class TestForkingSpawner:
    """The kernel is the test's."""

    @pytest.fixture
    def kernel(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        found = Mock()
        found.fork.return_value = 77
        found.waitpid.return_value = 0, 0
        for name in ("fork", "waitpid"):
            monkeypatch.setattr(os, name, getattr(found, name))
        for name in ("note_child", "forget_child"):
            monkeypatch.setattr(module, name, getattr(found, name))
        return found

    def test_life_of_the_process(self, kernel: Any) -> None:
        program, listener, control = Mock(), Mock(), Mock()
        spawner = ForkingSpawner(program, [listener])
        assert spawner.how_it_ended() is None
        spawner.start(control)
        assert spawner.how_it_ended() is None
        kernel.waitpid.return_value = 77, 9
        assert spawner.how_it_ended() == "was killed by SIGKILL"
        assert spawner.how_it_ended() is None
        waited = call.waitpid(77, os.WNOHANG)
        assert kernel.mock_calls == [
            call.fork(),
            call.note_child(77),
            waited,
            waited,
            call.forget_child(77),
        ]
        assert not program.run.called
        assert spawner.is_blind is False
        spawner.release()
        listener.close.assert_called_once_with()

    def test_child_runs_the_program(self, kernel: Any) -> None:
        kernel.fork.return_value = 0
        program, listener, control = Mock(), Mock(), Mock()
        ForkingSpawner(program, [listener]).start(control)
        program.run.assert_called_once_with(control, [listener])


def test_launcher_forks_the_process() -> None:
    launcher, listeners = Mock(), [Mock(), Mock()]
    for number, listener in enumerate(listeners):
        listener.fileno.return_value = 10 + number
    launcher.take_admin_end.return_value = "exited with status 1"
    spawner = LauncherSpawner(launcher, listeners)
    spawner.start(Mock(**{"fileno.return_value": 5}))
    launcher.start_admin.assert_called_once_with([5, 10, 11])
    assert spawner.how_it_ended() == "exited with status 1"
    for launcher.is_running in (True, False):
        assert spawner.is_blind is not launcher.is_running
    spawner.release()
    for listener in listeners:
        listener.close.assert_called_once_with()
