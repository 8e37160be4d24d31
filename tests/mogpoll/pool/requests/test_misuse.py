"""What a pool refuses, by the name of the task; and what it is called."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogpoll import Acceptor, DelayedCall, Next, PollerClosed, PoolStopped, WorkerPool
from tests.mogpoll.pool.tasks import FakeTask, PoolFixture
from tests.mogpoll.threads.acceptors import connect
from tests.support.sockets import stream_pair
from tests.support.threads import Running

if TYPE_CHECKING:
    from tests.mogpoll.backends import Backend
    from tests.mogpoll.threads.acceptors import Sink


class Named(FakeTask):
    def __repr__(self) -> str:
        return "the client of 3"


@pytest.mark.parametrize("given", [None, 7, -1, "read", False, (Next.READ,)], ids=repr)
def test_step_that_returns_no_next_closes_its_task(
    pools: PoolFixture, caplog: pytest.LogCaptureFixture, given: Any
) -> None:
    pool = pools.pool(1)
    task = Named(lambda _: cast("Next", given))
    pool.add(task)
    task.ping()
    task.wait_for_close()
    task.release()
    # The worker goes on.
    pools.fence(pool)
    assert [record.getMessage() for record in caplog.records] == [
        f"a step of the client of 3 returned {given!r}: no Next"
    ]
    caplog.clear()


@pytest.mark.parametrize("lacking", ["fileno", "step", "close"])
def test_object_that_is_no_task_is_refused(pools: PoolFixture, lacking: str) -> None:
    pool = pools.pool(1)
    task = Named()
    setattr(task, lacking, None)
    with pytest.raises(TypeError, match=f"the client of 3 is no task: .* {lacking}$"):
        pool.add(task)
    task.release()
    assert pool.statistics().tasks == 0


@pytest.mark.parametrize("timeout_s", [None, 0.0])
def test_stopped_pool_refuses_a_task_which_stays_the_callers(
    pools: PoolFixture, timeout_s: float | None
) -> None:
    """Also while a thread is still in a step."""
    pool = pools.pool(1)
    if timeout_s is not None:
        pool.stop(timeout_s)
    else:
        pools.stop(pool)
    task = Named()
    with pytest.raises(PoolStopped, match="stopped and does not take the client of 3"):
        pool.add(task)
    assert task.closes == 0
    assert not pool.notify(task)
    task.release()


@pytest.mark.parametrize("threads", [1, 6])
def test_stop_after_the_poller_was_closed(backend: Backend, threads: int) -> None:
    """The pool keeps its poller, and closes it."""
    poller = backend.open()
    pool: WorkerPool[FakeTask, None] = WorkerPool(poller, threads, spare=threads)
    tasks = [FakeTask() for _ in range(3)]
    for task in tasks:
        pool.add(task)
    poller.close()
    tasks[0].ping()
    tasks[0].wait_for_steps(1)
    assert Running(pool.stop).result()
    assert [task.closes for task in tasks] == [1, 1, 1]
    with pytest.raises(PollerClosed):
        poller.wait(0)
    for task in tasks:
        task.release()


def test_poller_outlives_all_its_pools_and_no_more(backend: Backend) -> None:
    with backend.open() as poller:
        poller.hold()
        poller.hold()
        poller.close()
        poller.release()
        assert poller.wait(0) is None
        poller.release()
        with pytest.raises(PollerClosed):
            poller.wait(0)
    poller.close()


def test_with_stops_in_the_reverse_order(
    backend: Backend, listener: socket.socket, sink: Sink
) -> None:
    with (
        backend.open() as poller,
        WorkerPool(poller, 2) as pool,
        Acceptor(listener, sink.take) as acceptor,
    ):
        assert acceptor.is_alive()
        with connect(listener):
            sink.wait_for(1)
    assert not acceptor.is_alive()
    assert pool.stop(0)
    with pytest.raises(PollerClosed):
        poller.wait(0)


def test_with_passes_an_exception_on(backend: Backend) -> None:
    with pytest.raises(KeyError), backend.open() as poller, WorkerPool(poller, 2) as pool:
        raise KeyError
    assert pool.stop(0)


def test_representations(backend: Backend, listener: socket.socket, sink: Sink) -> None:
    with stream_pair() as (near, _), backend.open() as poller:
        poller.add(near, 1)  # type: ignore[arg-type]
        name = {"epoll": "EpollPoller", "kqueue": "KqueuePoller"}[backend.name]
        assert repr(poller) == f"<{name} {poller.fileno()}, 1 registered>"
        poller.forget(near)
        with WorkerPool(poller, 3, name="disk") as pool:
            assert repr(pool) == "<WorkerPool 'disk', 3 threads, 0 tasks>"
            call: DelayedCall = pool.call_later(3600, sink.close)
            assert repr(call).startswith("<DelayedCall in 3")
            assert repr(sink.close) in repr(call)
        assert repr(pool) == "<WorkerPool 'disk', stopped, 0 tasks>"
    assert repr(poller) == f"<{name}, closed>"
    with Acceptor(listener, sink.take) as acceptor:
        assert repr(acceptor) == f"<Acceptor at {listener.getsockname()}, accepts>"
    assert repr(acceptor) == f"<Acceptor at {listener.getsockname()}, does not run>"
