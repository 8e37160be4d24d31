"""What a master decides: when it starts, replaces, stops and kills workers, and what it relays.

The workers are channels that the test holds; the clock and the kernel are the test's, too.
"""

from __future__ import annotations

import errno
import os
import pickle
import signal
import socket
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast
from unittest.mock import Mock, call

import pytest

from mogstored.admin.control import ServingProcess
from mogstored.config.model import ConfigError
from mogstored.config.values.processes import ProcessCount
from mogstored.log.rate_limit import RateLimiter
from mogstored.process import master as module
from mogstored.process.ipc import IpcChannel, Kind
from mogstored.process.master import Master, WorkerHandle, WorkerSlot
from mogstored.utilization.pipe_feed import serialize
from tests.support.snapshots import FACTS

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_PID = 4_000_000


class Settings(NamedTuple):
    """Of a node, as far as a master reads them."""

    worker_processes: ProcessCount = ProcessCount(2)
    stop_timeout_s: float | None = None
    services: tuple[str, ...] = ("service",)


class Bound(NamedTuple):
    config: str
    close_listeners: Mock


class Rig:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.now = 1000.0
        self.kernel = Mock()
        self.kernel.waitpid.return_value = 0, 0
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        for name in ("kill", "waitpid"):
            monkeypatch.setattr(os, name, getattr(self.kernel, name))
        self.lifecycle = Mock()
        self.lifecycle.signals.fileno.return_value = 0
        self.lifecycle.signals.receive.return_value = []
        self.lifecycle.signals.flusher.interval_s = None
        self.lifecycle.wait_interval_s.return_value = None
        self.lifecycle.notifier.keepalive_interval_s = 5.0
        self.lifecycle.announce_stopping.return_value = False
        self.lifecycle.wants_stop.return_value = False
        self.bound = Bound("service", Mock())
        self.settings = cast("Any", Settings(**settings))
        bound: Any = [self.bound]
        self.master: Any = Master(self.settings, bound, self.lifecycle)
        self.ends: list[IpcChannel] = []

    def slot(self, number: int) -> WorkerSlot:
        found: WorkerSlot = self.master._slots[number]
        return found

    def work(self, number: int, **fields: Any) -> WorkerHandle:
        """Let a worker run in a slot."""
        near, far = IpcChannel.pair()
        self.ends += near, far
        handle = WorkerHandle(
            FIRST_PID + number, near, os.dup(0), Mock(), started_at=self.now, alive_at=self.now
        )
        for name, value in fields.items():
            setattr(handle, name, value)
        self.slot(number).worker = handle
        return handle

    def received(self, number: int) -> list[tuple[Kind, bytes]]:
        """Return what the worker that was made as that one has been sent."""
        return list(self.ends[2 * number + 1].receive())

    def say(self, number: int, kind: Kind, content: bytes = b"") -> None:
        self.ends[2 * number + 1].send(kind, content)
        self.master._receive(self.slot(number))

    def end(self, number: int, code: int) -> None:
        worker = self.slot(number).worker
        assert worker is not None
        self.master._reap_worker(self.slot(number), worker, code)

    def due(self) -> list[float | None]:
        return [slot.due_at for slot in self.master._slots]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Rig]:
    caplog.set_level("INFO", "mogstored")
    found = Rig(monkeypatch)
    yield found
    close(found)


def close(rig: Rig) -> None:
    for slot in rig.master._slots:
        if slot.worker is not None:
            os.close(slot.worker.reports_fd)
    for each in rig.ends:
        each.close()


def test_time_from_one_start_to_the_next() -> None:
    intervals = [WorkerSlot(0, failures=failures).min_interval_s() for failures in range(9)]
    assert intervals == [1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


@pytest.mark.parametrize(
    ("error", "limit", "cause"),
    [
        (BlockingIOError(errno.EAGAIN, "refused"), None, "refused (EAGAIN)"),
        (MemoryError(), None, "too little memory"),
        (
            BlockingIOError(errno.EAGAIN, "refused"),
            "TasksMax= of its unit",
            "TasksMax= of its unit",
        ),
    ],
)
def test_worker_that_cannot_be_forked_is_due_again_in_10_s(
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    limit: str | None,
    cause: str,
) -> None:
    monkeypatch.setattr(module, "name_limit", lambda: limit)
    monkeypatch.setattr(rig.master, "_fork", Mock(side_effect=error))
    rig.slot(1).due_at = rig.now
    rig.master._start_due()
    assert rig.due() == [None, rig.now + 10.0]
    assert caplog.messages == [f"cannot start worker[1]: {cause}"]
    assert (rig.slot(1).starts, rig.slot(1).worker) == (0, None)


def test_only_what_is_due_is_started(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.slot(1).due_at = rig.now + 0.5
    worker = rig.work(1)
    rig.slot(1).worker = None
    fork = Mock(return_value=worker)
    monkeypatch.setattr(rig.master, "_fork", fork)
    rig.master._start_due()
    assert not fork.called
    rig.now += 0.5
    rig.master._start_due()
    fork.assert_called_once_with(1)
    assert rig.slot(1).worker is worker
    assert rig.due() == [None, None]
    assert rig.slot(1).starts == 1
    assert rig.lifecycle.signals.flusher.add.mock_calls == [call(worker.ipc)]
    assert not rig.lifecycle.admin.update.called, "nothing was replaced"


def test_worker_that_replaces_another_is_counted_and_logged(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig.master._is_announced = True
    old, new = rig.work(0, is_ready=True), IpcChannel.pair()
    rig.ends += new
    handle = WorkerHandle(5_000_000, new[0], os.dup(0), Mock(), rig.now, rig.now)
    rig.slot(0).starts = 1
    rig.work(1, wants_reports=True)
    rig.end(0, -9)
    monkeypatch.setattr(rig.master, "_fork", Mock(return_value=handle))
    rig.now += 1.0
    rig.master._start_due()
    (change,) = rig.lifecycle.admin.update.mock_calls
    assert change.args[0](FACTS).worker_restarts == FACTS.worker_restarts + 1
    assert caplog.messages == [
        f"worker[0] PID:{old.pid} died: it was killed by SIGKILL",
        f"worker[0] PID:5000000 replaces PID:{old.pid}, which was killed by SIGKILL",
    ]
    assert list(new[1].receive()) == [(Kind.WANT, b"1")]
    new[1].send(Kind.READY)
    ((key, _),) = [
        each for each in rig.master._selector.select(0) if each[0].fileobj is handle.ipc
    ]
    assert key.data is rig.slot(0)


@pytest.mark.parametrize(
    ("code", "is_ready", "failures", "in_s"),
    [
        (1, False, 3, 4.0),
        (1, True, 0, 1.0),
        (-9, False, 0, 1.0),
        (0, False, 0, 1.0),
    ],
)
def test_end_of_a_worker_of_a_node_that_serves(
    rig: Rig,
    caplog: pytest.LogCaptureFixture,
    code: int,
    is_ready: bool,
    failures: int,
    in_s: float,
) -> None:
    rig.master._is_announced = True
    worker = rig.work(1, is_ready=is_ready)
    rig.slot(1).failures = 2
    rig.end(1, code)
    assert (rig.slot(1).worker, rig.slot(1).failures) == (None, failures)
    assert rig.due() == [None, rig.now + in_s]
    assert rig.slot(1).replaced == (worker.pid, code)
    rig.lifecycle.signals.flusher.remove.assert_called_once_with(worker.ipc)
    rig.lifecycle.admin.remove.assert_called_once_with(worker.pid)
    assert len(caplog.messages) == 1
    assert not rig.master._is_stopping
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(worker.reports_fd)
    assert worker.ipc.fileno() == -1


def test_worker_that_ran_long_is_replaced_at_once(rig: Rig) -> None:
    rig.work(1, is_ready=True)
    rig.now += 100
    rig.end(1, 1)
    assert rig.due() == [None, rig.now]


def test_start_that_fails_ends_the_node(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig.work(0)
    rig.end(0, 3)
    assert rig.slot(0).failures == 1
    assert rig.master._is_stopping
    assert rig.due() == [None, None]
    monkeypatch.setattr(module, "run_loop", Mock())
    words = r"^worker\[0\] cannot start: it exited with status 3$"
    with pytest.raises(ConfigError, match=words):
        rig.master.run()
    assert caplog.messages == [f"worker[0] PID:{FIRST_PID} died: it exited with status 3"]


def test_ends_while_the_node_stops(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.work(0)
    rig.work(1)
    rig.master._stop()
    rig.end(0, 0)
    assert caplog.messages == []
    rig.end(1, 1)
    assert caplog.messages == [f"worker[1] PID:{FIRST_PID + 1} died: it exited with status 1"]
    assert rig.master._startup_error is None
    assert rig.due() == [None, None]


def test_others_are_started_when_the_first_is_ready(rig: Rig) -> None:
    rig.work(0)
    rig.say(0, Kind.READY)
    assert rig.due() == [None, rig.now]
    assert not rig.lifecycle.announce_ready.called
    rig.work(1)
    rig.slot(1).due_at = None
    rig.say(1, Kind.READY)
    rig.say(1, Kind.READY)
    rig.lifecycle.announce_ready.assert_called_once_with()


def test_first_that_is_ready_too_late_starts_nothing(rig: Rig) -> None:
    rig.work(0)
    rig.master._stop()
    rig.say(0, Kind.READY)
    assert rig.due() == [None, None]
    assert not rig.lifecycle.announce_ready.called


def test_first_start_is_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Mock()
    monkeypatch.setattr(module, "run_loop", loop)
    rig.master.run()
    assert rig.due() == [rig.now, None]
    loop.assert_called_once_with(rig.master._is_over)


@pytest.mark.parametrize("has_successor", [True, False])
def test_stop(rig: Rig, has_successor: bool) -> None:
    rig.lifecycle.announce_stopping.return_value = has_successor
    workers = [rig.work(number) for number in (0, 1)]
    rig.slot(1).due_at = rig.now
    rig.master._stop()
    rig.master._stop()
    assert rig.kernel.kill.mock_calls == [call(each.pid, signal.SIGQUIT) for each in workers]
    said = [] if has_successor else [(Kind.LAST_CALL, b"")]
    assert [rig.received(number) for number in (0, 1)] == [said, said]
    rig.bound.close_listeners.assert_called_once_with()
    rig.lifecycle.announce_stopping.assert_called_once_with()
    assert rig.due() == [None, None]
    assert rig.master._give_up_at is None


def test_request_of_a_client_stops_the_node(rig: Rig) -> None:
    rig.work(0)
    rig.say(0, Kind.SHUTDOWN)
    assert rig.kernel.kill.mock_calls == [call(FIRST_PID, signal.SIGQUIT)]


def test_worker_that_does_not_end_is_killed_4_s_after_the_time_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(monkeypatch, stop_timeout_s=3.0)
    rig.work(1)
    rig.lifecycle.wants_stop.return_value = True
    monkeypatch.setattr(rig.master._selector, "select", lambda _: [])
    assert rig.master._is_over() is False
    assert rig.master._timeout_s() == 7.0
    rig.now += 6.9
    rig.kernel.kill.reset_mock()
    assert rig.master._is_over() is False
    assert not rig.kernel.kill.called
    rig.now = 1007.0
    assert rig.master._is_over() is True
    assert rig.kernel.kill.mock_calls == [call(FIRST_PID + 1, signal.SIGKILL)]
    assert caplog.messages == [
        f"worker[1] PID:{FIRST_PID + 1} has not ended in time: sent SIGKILL, not waiting for it"
    ]
    close(rig)


def test_one_turn_of_the_loop(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = rig.work(0)
    rig.lifecycle.wait_interval_s.return_value = 0.0
    # The signals' descriptor of this rig is not one to wait for.
    rig.master._selector.unregister(rig.lifecycle.signals)
    rig.master._selector.register(worker.ipc, 1, rig.slot(0))
    rig.ends[1].send(Kind.CLIENTS, b"3")
    rig.lifecycle.signals.receive.return_value = [signal.SIGUSR1, signal.SIGHUP]
    assert rig.master._is_over() is False
    assert worker.clients == 3
    assert rig.kernel.kill.mock_calls == [call(FIRST_PID, signal.SIGUSR1)]
    rig.lifecycle.wants_stop.assert_called_once_with([signal.SIGUSR1, signal.SIGHUP])
    rig.lifecycle.admin.advance.assert_called_once_with()
    rig.lifecycle.orphans.reap.assert_called_once_with()
    rig.lifecycle.notifier.keepalive.assert_called_once_with()
    rig.ends[1].close()
    assert rig.master._is_over() is False
    assert rig.master._selector.get_map() == {}, "it is not waited for any more"
    rig.lifecycle.signals.receive.return_value = []
    rig.lifecycle.wants_stop.return_value = True
    assert rig.master._is_over() is False
    rig.kernel.waitpid.return_value = worker.pid, 0
    assert rig.master._is_over() is False
    rig.kernel.waitpid.assert_called_with(worker.pid, os.WNOHANG)
    asked = rig.lifecycle.wants_stop.call_count
    assert rig.master._is_over() is True, "the last one has ended"
    assert rig.lifecycle.wants_stop.call_count == asked


@pytest.mark.parametrize(
    ("lifecycle_s", "flush_s", "due_s", "expected"),
    [
        (None, None, None, None),
        (5.0, None, None, 5.0),
        (5.0, 0.5, None, 0.5),
        (5.0, 0.5, 0.25, 0.25),
        (5.0, 0.5, -1.0, 0.0),
    ],
)
def test_longest_wait(
    rig: Rig,
    lifecycle_s: float | None,
    flush_s: float | None,
    due_s: float | None,
    expected: float | None,
) -> None:
    rig.lifecycle.wait_interval_s.return_value = lifecycle_s
    rig.lifecycle.signals.flusher.interval_s = flush_s
    rig.slot(1).due_at = None if due_s is None else rig.now + due_s
    waits = rig.master._timeout_s()
    assert waits == expected or (expected == 0.0 and waits is not None and waits <= 0)


def test_clients_that_are_left_are_shown_while_the_node_stops(rig: Rig) -> None:
    rig.work(0)
    rig.work(1)
    rig.say(0, Kind.CLIENTS, b"2")
    assert not rig.lifecycle.notifier.draining.called
    rig.master._stop()
    rig.say(0, Kind.CLIENTS, b"1")
    rig.lifecycle.notifier.draining.assert_called_once_with(1)
    rig.lifecycle.notifier.draining.reset_mock()
    rig.say(1, Kind.CLIENTS, b"40")
    rig.lifecycle.notifier.draining.assert_called_once_with(41)


def test_demand_of_the_others_reaches_the_first(rig: Rig) -> None:
    rig.work(0)
    rig.work(1)
    rig.say(0, Kind.WANT, b"1")
    assert rig.received(0) == [(Kind.WANT, b"")], "its own demand is no one else's"
    rig.say(1, Kind.WANT, b"1")
    assert rig.received(0) == [(Kind.WANT, b"1")]
    assert rig.received(1) == []
    rig.say(1, Kind.WANT, b"")
    assert rig.received(0) == [(Kind.WANT, b"")]
    rig.say(1, Kind.WANT, b"1")
    rig.end(1, -9)
    assert rig.received(0)[-1] == (Kind.WANT, b"")


def test_reports_reach_the_others_though_one_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, worker_processes=ProcessCount(3))
    first, dead, third = (rig.work(number) for number in range(3))
    senders: list[Any] = [each.reports for each in (first, dead, third)]
    senders[1].send.side_effect = BrokenPipeError
    rig.say(0, Kind.REPORT, serialize({"dev1": "5.0"}))
    assert not senders[0].send.called
    for sender in senders[1:]:
        sender.send.assert_called_once_with({"dev1": "5.0"})
    close(rig)


def test_configuration_is_passed_on_and_kept(rig: Rig) -> None:
    rig.work(1)
    new: Any = rig.settings._replace(services=("changed",), stop_timeout_s=9.0)
    rig.master._apply(new)
    ((kind, content),) = rig.received(0)
    assert (kind, pickle.loads(content)) == (Kind.RELOAD, new)
    assert [each.config for each in rig.master._bound] == ["changed"]
    rig.master._stop()
    assert rig.master._give_up_at == rig.now + 9.0 + 4.0
    assert rig.lifecycle.apply == rig.master._apply


@pytest.mark.parametrize(
    ("silent_s", "is_sent"), [((0.0, 0.0), True), ((10.0, 0.0), True), ((0.0, 10.5), False)]
)
def test_node_is_alive_while_all_its_workers_are(
    rig: Rig, silent_s: tuple[float, float], is_sent: bool
) -> None:
    for number, seconds in enumerate(silent_s):
        rig.work(number, alive_at=rig.now - seconds)
    rig.master._send_keepalive()
    assert rig.lifecycle.notifier.keepalive.called is is_sent
    rig.now += 100
    for number in (0, 1):
        rig.say(number, Kind.ALIVE)
    rig.lifecycle.notifier.keepalive.reset_mock()
    rig.master._keepalives = RateLimiter(5.0)
    for _ in range(2):
        rig.master._send_keepalive()
    rig.lifecycle.notifier.keepalive.assert_called_once_with()


def test_nothing_is_sent_to_a_manager_that_wants_no_signs_of_life(rig: Rig) -> None:
    rig.lifecycle.notifier.keepalive_interval_s = None
    rig.master._send_keepalive()
    assert not rig.lifecycle.notifier.keepalive.called


def test_fork_that_is_refused_leaves_no_descriptor(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = socket.socketpair()
    channel = Mock(ours=near, observers=far)
    rig.lifecycle.admin.open_channel.return_value = channel
    monkeypatch.setattr(os, "fork", Mock(side_effect=BlockingIOError(errno.EAGAIN, "refused")))
    before = set(os.listdir("/dev/fd"))
    with pytest.raises(BlockingIOError):
        rig.master._fork(0)
    gone = before - set(os.listdir("/dev/fd"))
    assert len(gone) >= 2, "both ends of the channel are closed"
    assert (channel.ours.fileno(), channel.observers.fileno()) == (-1, -1)


def test_fork_shows_the_worker_to_the_admin_process(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = socket.socketpair()
    rig.lifecycle.admin.open_channel.return_value = Mock(ours=near, observers=far)
    monkeypatch.setattr(os, "fork", lambda: 77)
    noted: list[int] = []
    monkeypatch.setattr(module, "note_child", noted.append)
    worker = rig.master._fork(1)
    assert (worker.pid, worker.started_at, worker.alive_at) == (77, rig.now, rig.now)
    assert noted == [77]
    rig.lifecycle.admin.add.assert_called_once_with(ServingProcess(1, 77), near)
    assert far.fileno() == -1
    # The ends of the child are closed here: the channel is over.
    assert list(worker.ipc.receive()) == []
    assert worker.ipc.is_over
    worker.close()
    near.close()


class Ended(BaseException):
    """Takes the place of the end of a worker; its argument is the status."""


def end(status: int) -> NoReturn:
    raise Ended(status)


class TestForkedWorker:
    @pytest.fixture
    def steps(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Any:
        found = Mock()
        found._exit.side_effect = end
        monkeypatch.setattr(os, "_exit", found._exit)
        for name in ("WorkerProcess", "flush_before_exit"):
            monkeypatch.setattr(module, name, getattr(found, name))
        for name in ("log", "signals", "caller", "upgrade", "admin"):
            setattr(rig.lifecycle, name, getattr(found, name))
        return found

    def become_worker(self, rig: Rig, channel: Any) -> int:
        """Return the status that the worker has ended with."""
        with pytest.raises(Ended) as ended:
            rig.master._become_worker(1, "ipc", 55, channel)
        return int(ended.value.args[0])

    def test_nothing_of_the_master_is_left(self, rig: Rig, steps: Any) -> None:
        siblings = [rig.work(number) for number in (0, 1)]
        bound = rig.master._bound
        assert self.become_worker(rig, steps.channel) == 0
        lifecycle = rig.lifecycle
        assert steps.mock_calls == [
            call.log.forget(),
            call.signals.abandon(),
            # Else the caller would wait for the end of this process, too.
            call.caller.close(),
            call.upgrade.launcher.abandon(),
            call.admin.disown(),
            call.channel.ours.close(),
            call.WorkerProcess(
                *(1, "ipc", 55, lifecycle.title, steps.log, 5.0, steps.channel.observers)
            ),
            call.WorkerProcess().run(rig.settings, bound),
            call.flush_before_exit((steps.log, "ipc")),
            call._exit(0),
        ]
        for sibling in siblings:
            assert sibling.ipc.fileno() == -1
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(sibling.reports_fd)
        for slot in rig.master._slots:
            slot.worker = None

    def test_worker_that_fails(
        self, rig: Rig, steps: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig.lifecycle.caller = None
        steps.WorkerProcess.return_value.run.side_effect = ValueError("a fault")
        assert self.become_worker(rig, None) == 1
        assert caplog.messages == ["worker[1] failed"]
        steps.flush_before_exit.assert_called_once_with((steps.log, "ipc"))
        assert steps.WorkerProcess.call_args.args[-1] is None

    def test_flush_that_fails_does_not_keep_the_process(self, rig: Rig, steps: Any) -> None:
        steps.flush_before_exit.side_effect = MemoryError
        assert self.become_worker(rig, None) == 0

    @pytest.mark.usefixtures("steps")
    def test_child_becomes_a_worker(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        channel = rig.lifecycle.admin.open_channel.return_value
        became: list[object] = []

        def become(number: int, ipc: IpcChannel, reports_fd: int, passed: object) -> None:
            # Its own copies of the other ends are closed.
            assert list(ipc.receive()) == []
            assert ipc.is_over
            assert os.read(reports_fd, 1) == b""
            became.extend((number, passed))
            raise Ended

        monkeypatch.setattr(os, "fork", lambda: 0)
        monkeypatch.setattr(rig.master, "_become_worker", become)
        with pytest.raises(Ended):
            rig.master._fork(1)
        assert became == [1, channel]
