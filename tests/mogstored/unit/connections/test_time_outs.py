"""Which clients are late, on a clock that is worked by hand."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogstored.connections import time_outs as module
from mogstored.connections.time_limits import TimeLimits, Wait
from mogstored.connections.time_outs import TimeOuts
from tests.support.sockets import fill, tcp_pair
from tests.support.waiting import PATIENCE_S, promptly, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mogpoll import WorkerPool
    from mogstored.connections.buffers import Buffers
    from mogstored.connections.connection import Connection

NOW = 1000.0


class Waiting:
    """A connection that waits in the poller."""

    def __init__(self, wait: Wait | None, sock: socket.socket, since: float) -> None:
        self.sock = sock
        self.active_at = since
        self.head_since = since if wait is Wait.HEAD else 0.0
        self.wait = wait
        self.ended: list[tuple[Wait, int]] = []

    def waits(self) -> tuple[Wait, float] | None:
        return None if self.wait is None else (self.wait, self.head_since or self.active_at)

    def time_out(self, wait: Wait, limit_s: int) -> None:
        self.ended.append((wait, limit_s))


class Pool:
    """A pool in which nothing runs; `between` happens before the sweep owns a connection."""

    def __init__(self, *waiting: Waiting) -> None:
        self.waiting = waiting
        self.between: Callable[[], object] = lambda: None

    def waiting_tasks(self) -> list[Waiting]:
        return list(self.waiting)

    def step_now(self, chosen: Callable[[Waiting], bool], act: Callable[[Waiting], None]) -> int:
        found = [each for each in self.waiting if chosen(each)]
        self.between()
        for each in found:
            act(each)
        return len(found)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    monkeypatch.setattr(module, "monotonic", lambda: NOW)
    with tcp_pair() as pair:
        yield pair


def sweep(pool: Pool, **limits: int) -> int:
    real = cast("WorkerPool[Connection, Buffers]", pool)
    return TimeOuts(real, TimeLimits(**limits)).sweep()


@pytest.mark.parametrize(
    ("wait", "limits", "limit_s"),
    [
        (Wait.FIRST, {}, None),
        (Wait.FIRST, {"header_s": 5, "keepalive_s": 1}, 5),
        (Wait.FIRST, {"keepalive_s": 5}, 5),
        (Wait.HEAD, {"header_s": 5, "keepalive_s": 1}, 5),
        (Wait.HEAD, {"keepalive_s": 5, "body_s": 5, "send_s": 5}, None),
        (Wait.BODY, {"body_s": 5, "header_s": 1}, 5),
        (Wait.BODY, {"header_s": 5, "keepalive_s": 5, "send_s": 5}, None),
        (Wait.SEND, {"send_s": 5, "body_s": 1}, 5),
        (Wait.SEND, {"header_s": 5, "keepalive_s": 5, "body_s": 5}, None),
        (Wait.IDLE, {"keepalive_s": 5, "header_s": 1}, 5),
        (Wait.IDLE, {"header_s": 5, "body_s": 5, "send_s": 5}, None),
    ],
)
def test_each_wait_has_its_limit(wait: Wait, limits: dict[str, int], limit_s: int | None) -> None:
    assert TimeLimits(**limits).limit(wait) == limit_s


@pytest.mark.parametrize(
    ("limits", "interval_s"),
    [({}, None), ({"body_s": 8, "send_s": 60}, 2.0), ({"header_s": 1}, 0.25)],
)
def test_clients_are_looked_at_four_times_in_the_shortest_limit(
    limits: dict[str, int], interval_s: float | None
) -> None:
    assert module._interval_s(TimeLimits(**limits)) == interval_s


def test_shortest() -> None:
    assert TimeLimits().shortest() is None
    assert TimeLimits(send_s=7, body_s=5).shortest() == 5


@pytest.mark.parametrize("wait", [Wait.FIRST, Wait.HEAD, Wait.BODY, Wait.IDLE])
@pytest.mark.parametrize(("silent_s", "is_late"), [(4.9, False), (5.0, False), (5.1, True)])
def test_silent_client(
    ends: tuple[socket.socket, socket.socket], wait: Wait, silent_s: float, is_late: bool
) -> None:
    waiting = Waiting(wait, ends[0], NOW - silent_s)
    sweep(Pool(waiting), header_s=5, body_s=5, send_s=5, keepalive_s=5)
    assert waiting.ended == [(wait, 5)] * is_late


def test_full_socket(ends: tuple[socket.socket, socket.socket]) -> None:
    waiting = Waiting(Wait.SEND, ends[0], NOW - 6)
    assert sweep(Pool(waiting), send_s=5) == 0
    fill(ends[0])
    assert sweep(Pool(waiting), send_s=5) == 1
    assert waiting.ended == [(Wait.SEND, 5)]


@pytest.mark.parametrize("wait", [Wait.FIRST, Wait.HEAD, Wait.BODY, Wait.IDLE])
@pytest.mark.parametrize("event", ["data", "end", "closed here"])
def test_what_a_thread_is_about_to_step_is_left_to_it(
    ends: tuple[socket.socket, socket.socket], wait: Wait, event: str
) -> None:
    near, far = ends
    if event == "data":
        far.send(b"x")
    elif event == "end":
        far.shutdown(socket.SHUT_WR)
    else:
        near.close()
    waiting = Waiting(wait, near, NOW - 100)
    assert sweep(Pool(waiting), header_s=5, body_s=5, keepalive_s=5) == 0


def test_client_that_was_quicker_is_left(ends: tuple[socket.socket, socket.socket]) -> None:
    """A thread has stepped it between the look and the claim."""
    waiting = Waiting(Wait.IDLE, ends[0], NOW - 6)
    pool = Pool(waiting)
    pool.between = lambda: setattr(waiting, "active_at", NOW)
    assert sweep(pool, keepalive_s=5) == 1
    assert waiting.ended == []


def test_head_that_trickles_is_not_silent_but_late(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    waiting = Waiting(Wait.HEAD, ends[0], NOW - 6)
    waiting.active_at = NOW
    assert sweep(Pool(waiting), header_s=5) == 1


def test_thread_that_is_refused_at_a_reload_is_started_later(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Waiting(Wait.IDLE, ends[0], NOW - 100)
    time_outs = TimeOuts(cast("WorkerPool[Connection, Buffers]", Pool(late)))
    time_outs.start()
    with monkeypatch.context() as short:
        short.setattr(module, "try_start_thread", lambda *_args, **_named: None)
        time_outs.apply(TimeLimits(keepalive_s=1))
        time_outs.start_missing()
    before = threading.active_count()
    for _ in range(2):
        time_outs.start_missing()
        assert threading.active_count() == before + 1
    wait_until(lambda: late.ended, "the sweep ends what is late")
    time_outs.stop()
    time_outs.start_missing()
    assert threading.active_count() == before


def test_thread_follows_new_limits_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    late = Waiting(Wait.IDLE, ends[0], NOW - 100)
    time_outs = TimeOuts(
        cast("WorkerPool[Connection, Buffers]", Pool(late)), TimeLimits(keepalive_s=100_000)
    )

    def wait_for_its_sleep() -> None:
        sleepers: Any = time_outs._changed
        wait_until(lambda: sleepers._waiters, "it sleeps for hours")

    time_outs.start()
    wait_for_its_sleep()
    time_outs.apply(TimeLimits(keepalive_s=1))
    wait_until(lambda: late.ended, "the sweep ends what is late")
    time_outs.apply(TimeLimits())
    wait_for_its_sleep()
    promptly(time_outs.stop, PATIENCE_S)


def test_what_has_no_limit(ends: tuple[socket.socket, socket.socket]) -> None:
    waiting = Waiting(None, ends[0], 0.0)
    assert sweep(Pool(waiting), header_s=5, body_s=5, send_s=5, keepalive_s=5) == 0
    waiting.wait = Wait.IDLE
    assert sweep(Pool(waiting), header_s=5, body_s=5, send_s=5) == 0
    assert sweep(Pool(waiting)) == 0


@pytest.mark.parametrize(
    ("silent_s", "limits", "is_late"),
    [
        (6, {}, False),
        (64, {}, False),
        (66, {}, True),
        (14, {"send_s": 10}, False),
        (16, {"send_s": 10}, True),
    ],
)
def test_idle_client_that_reads_its_answer_has_more_time(
    ends: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    silent_s: float,
    limits: dict[str, int],
    is_late: bool,
) -> None:
    monkeypatch.setattr(module, "undelivered", lambda _sock: 1)
    waiting = Waiting(Wait.IDLE, ends[0], NOW - silent_s)
    sweep(Pool(waiting), keepalive_s=5, **limits)
    assert bool(waiting.ended) is is_late


def test_thread_runs_from_the_start_on_while_there_is_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []

    class Thread:
        def join(self) -> None:
            started.append("joined")

    def start(_run: object, name: str, *, lasting: bool) -> Thread:
        assert lasting
        started.append(name)
        return Thread()

    monkeypatch.setattr(module, "start_thread", start)
    monkeypatch.setattr(module, "try_start_thread", start)
    found = TimeOuts(cast("WorkerPool[Connection, Buffers]", Pool()))
    found.apply(TimeLimits(body_s=5))
    assert started == []
    found.start()
    assert started == ["time-outs"]
    found.apply(TimeLimits(body_s=6))
    assert started == ["time-outs"]
    found.stop()
    assert started == ["time-outs", "joined"]
    # Nothing runs any more.
    late = TimeOuts(cast("WorkerPool[Connection, Buffers]", Pool()))
    late.start()
    late.stop()
    late.apply(TimeLimits(body_s=5))
    assert started == ["time-outs", "joined"]
    late.start()
    late.apply(TimeLimits(body_s=5))
    assert started == ["time-outs", "joined", "time-outs"]
