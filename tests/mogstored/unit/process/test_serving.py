"""A node of one process, and a worker: what each passes to its server, and to its leader."""

from __future__ import annotations

import os
import pickle
import signal
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call

import pytest

from mogstored.admin.control import ServingProcess
from mogstored.config import load
from mogstored.process import single as single_module
from mogstored.process import worker as worker_module
from mogstored.process.ipc import IpcChannel, Kind
from mogstored.process.single import SingleProcess
from mogstored.process.utilization_relay import MeasuringFeed
from mogstored.process.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def hooks(server: Mock) -> Any:
    """Return the `ProcessHooks` that the process has passed to its server."""
    return server.call_args.args[2]


class TestSingle:
    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Mock:
        made = Mock()
        monkeypatch.setattr(single_module, "Server", made)
        monkeypatch.setattr(single_module, "open_node_feed", lambda config: ("feed", config))
        return made

    @pytest.fixture
    def lifecycle(self) -> Any:
        found = Mock()
        found.notifier.keepalive_interval_s = 2.5
        found.log.lost = 7
        found.announce_stopping.return_value = False
        return found

    def test_hooks(self, server: Mock, lifecycle: Any) -> None:
        config: Any = object()
        SingleProcess(config, [], lifecycle)
        assert server.call_args.args[:2] == (config, [])
        passed = hooks(server)
        assert passed.feed == ("feed", config)
        assert passed.writes_usage is True
        assert passed.keepalive_interval_s == 2.5
        assert passed.call_in_main_thread == lifecycle.signals.call
        assert passed.observer_sock is lifecycle.admin.open_channel().observers
        assert passed.count_lost_messages() == 7
        passed.request_stop()
        lifecycle.signals.inject.assert_called_once_with(signal.SIGTERM)
        assert lifecycle.apply == server().apply
        lifecycle.admin.add.assert_called_once_with(
            ServingProcess(0, os.getpid()), lifecycle.admin.open_channel().ours
        )

    def test_without_an_admin_process(self, server: Mock, lifecycle: Any) -> None:
        lifecycle.admin.open_channel.return_value = None
        SingleProcess(Mock(), [], lifecycle)
        assert hooks(server).observer_sock is None
        assert not lifecycle.admin.add.called

    @pytest.mark.parametrize("has_successor", [True, False])
    def test_life(self, server: Mock, lifecycle: Any, *, has_successor: bool) -> None:
        lifecycle.announce_stopping.return_value = has_successor
        lifecycle.wants_stop.side_effect = [False, True]
        lifecycle.signals.wait.side_effect = [[signal.SIGUSR1], [signal.SIGTERM]]
        process = SingleProcess(Mock(), [], lifecycle)
        server().heartbeat.is_due.return_value = True
        process.run()
        assert [each for each in lifecycle.mock_calls if each in _STEPS] == _STEPS
        lifecycle.signals.wait.assert_called_with(lifecycle.wait_interval_s())
        lifecycle.wants_stop.assert_has_calls([call([signal.SIGUSR1]), call([signal.SIGTERM])])
        server().start.assert_called_once_with()
        server().reopen_access_log.assert_called_once_with()
        lifecycle.orphans.reap.assert_called_once_with()
        lifecycle.notifier.keepalive.assert_called_once_with()
        (drain,) = server().drain.mock_calls
        assert drain.kwargs == {"takes_backlog": not has_successor}

    @pytest.mark.parametrize("is_due", [True, False])
    @pytest.mark.parametrize(
        ("received", "reopens"), [([], 0), ([signal.SIGTERM], 0), ([signal.SIGUSR1], 1)]
    )
    def test_drain(
        self, server: Mock, lifecycle: Any, received: list[int], reopens: int, *, is_due: bool
    ) -> None:
        lifecycle.wants_stop.return_value = True
        lifecycle.signals.wait.return_value = []
        process = SingleProcess(Mock(), [], lifecycle)
        process.run()
        server().heartbeat.is_due.return_value = is_due
        lifecycle.signals.receive.return_value = received
        server().drain.call_args.args[0](12)
        assert server().reopen_access_log.call_count == reopens
        lifecycle.notifier.draining.assert_called_once_with(12)
        lifecycle.orphans.reap.assert_called_once_with()
        assert lifecycle.notifier.keepalive.call_count == int(is_due)


_STEPS = [call.announce_ready(), call.announce_stopping()]


class TestWorker:
    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Mock:
        made = Mock()
        monkeypatch.setattr(worker_module, "Server", made)
        monkeypatch.setattr(worker_module, "open_node_feed", lambda config: ("node", config))
        monkeypatch.setattr(worker_module, "open_relayed_feed", lambda *args: args)
        return made

    @pytest.fixture
    def signals(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        made = Mock()
        made.wait.return_value = [signal.SIGQUIT]
        monkeypatch.setattr(worker_module, "SignalQueue", lambda: made)
        return made

    @pytest.fixture
    def ends(self) -> Iterator[tuple[IpcChannel, IpcChannel]]:
        near, far = IpcChannel.pair()
        yield near, far
        near.close()
        far.close()

    def worker(self, near: IpcChannel, number: int = 1) -> tuple[WorkerProcess, Any, Any]:
        title, log = Mock(), Mock(lost=7)
        observer: Any = object()
        return WorkerProcess(number, near, 55, title, log, 2.5, observer), title, log

    @pytest.mark.parametrize("number", [0, 1])
    def test_hooks(
        self, server: Mock, signals: Any, ends: tuple[IpcChannel, IpcChannel], number: int
    ) -> None:
        near, far = ends
        config: Any = object()
        worker, title, log = self.worker(near, number)
        worker.run(config, [])
        title.show_role.assert_called_once_with(f"worker[{number}]")
        title.show_stopping.assert_called_once_with()
        assert signals.flusher.add.mock_calls == [call(log), call(near)]
        assert server.call_args.args[:2] == (config, [])
        passed = hooks(server)
        if number:
            assert passed.feed == (55, near)
        else:
            assert isinstance(passed.feed, MeasuringFeed)
            feed: Any = passed.feed._feed
            assert feed == ("node", config)
        assert passed.writes_usage is (number == 0)
        assert passed.keepalive_interval_s == 2.5
        assert passed.call_in_main_thread == signals.call
        assert passed.number == number
        assert passed.observer_sock is worker._observer_sock
        assert passed.observer_sock is not None
        assert passed.count_lost_messages() == 7
        server().start.assert_called_once_with()
        assert list(far.receive()) == [(Kind.READY, b"")]
        passed.request_stop()
        assert list(far.receive()) == [(Kind.SHUTDOWN, b"")]

    @pytest.mark.parametrize(
        ("messages", "takes_backlog"), [([], False), ([Kind.LAST_CALL], True), (None, True)]
    )
    def test_backlog_is_taken_when_no_successor_does(
        self,
        server: Mock,
        signals: Any,
        ends: tuple[IpcChannel, IpcChannel],
        messages: Sequence[Kind] | None,
        *,
        takes_backlog: bool,
    ) -> None:
        near, far = ends
        if messages is None:
            # The master has died.
            signals.wait.return_value = []
            far.close()
        for kind in messages or []:
            far.send(kind)
        worker, _, _ = self.worker(near)
        worker.run(Mock(), [])
        signals.wait.assert_called_once_with(2.5, near.fileno())
        assert server().drain.call_args.kwargs == {"takes_backlog": takes_backlog}
        assert not server().reopen_access_log.called

    @pytest.mark.parametrize("is_due", [True, False])
    def test_signs_of_life_while_it_serves_and_drains(
        self, server: Mock, signals: Any, ends: tuple[IpcChannel, IpcChannel], *, is_due: bool
    ) -> None:
        near, far = ends
        signals.wait.side_effect = [[], [signal.SIGUSR1], [signal.SIGTERM]]
        worker, _, _ = self.worker(near)
        server().heartbeat.is_due.return_value = is_due
        worker.run(Mock(), [])
        alive = [(Kind.ALIVE, b"")] * is_due
        assert list(far.receive()) == [(Kind.READY, b""), *(2 * alive)]
        server().reopen_access_log.assert_called_once_with()
        signals.receive.return_value = [signal.SIGUSR1]
        server().drain.call_args.args[0](12)
        assert list(far.receive()) == [(Kind.CLIENTS, b"12"), *alive]
        assert server().reopen_access_log.call_count == 2

    def test_messages(
        self, server: Mock, signals: Any, ends: tuple[IpcChannel, IpcChannel], tmp_path: Any
    ) -> None:
        near, far = ends
        config, _ = load([], {})
        level = Mock()
        worker, _, log = self.worker(near, 0)
        worker._server = server()
        worker._measuring = measuring = Mock()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker_module, "set_level", level)
            far.send(Kind.RELOAD, pickle.dumps(config))
            far.send(Kind.WANT, b"1")
            assert worker._wants_stop([]) is False
        level.assert_called_once_with(config.log_level)
        log.reopen.assert_called_once_with()
        server().apply.assert_called_once_with(config)
        measuring.want_elsewhere.assert_called_once_with(True)
        assert worker._wants_stop([signal.SIGINT]) is True
        assert worker._wants_stop([]) is True, "it was asked to"
        worker._measuring = None
        far.send(Kind.WANT, b"1")
        worker._wants_stop([])
        measuring.want_elsewhere.assert_called_once_with(True)
