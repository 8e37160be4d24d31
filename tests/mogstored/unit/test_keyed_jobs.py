"""Jobs that hang keep their own threads, and no others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from unittest.mock import Mock

import pytest

from mogstored import keyed_jobs as jobs_module
from mogstored.keyed_jobs import KeyedJobs
from tests.support.waiting import PATIENCE_S, promptly, wait_until


def is_hung(since: float, now: float) -> bool:
    return now - since >= 0.02


class Desk:
    """Jobs by number, and those that have finished."""

    def __init__(self) -> None:
        self.finished: list[int] = []
        self.jobs: KeyedJobs[int] = KeyedJobs("test-job", self.finished.append, is_hung)
        self.gate = threading.Event()

    def hang(self, *keys: int) -> None:
        for key in keys:
            self.jobs.submit(key, lambda: _wait(self.gate))

    def await_finished(self, *keys: int) -> None:
        def claim() -> bool:
            self.jobs.look()
            return sorted(self.finished) == sorted(keys)

        wait_until(claim, f"jobs {keys} are done")


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.gate.set()
    desk.jobs.stop(PATIENCE_S)
    assert desk.jobs.size == 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "LOOK_INTERVAL_S", 0.002)


def _nothing() -> None:
    pass


def _wait(gate: threading.Event) -> None:
    gate.wait()


def test_all_jobs_are_done_in_order_by_one_thread(desk: Desk) -> None:
    threads = set()
    for key in range(100):
        desk.jobs.submit(key, lambda: threads.add(threading.get_ident()))
    wait_until(lambda: desk.finished == list(range(100)), "all are done in order")
    assert len(threads) == 1
    assert (desk.jobs.size, desk.jobs._ended) == (1, 100)


def test_no_thread_without_a_job(desk: Desk) -> None:
    assert desk.jobs.size == 0


def test_one_thread_stays_from_the_start_on(desk: Desk) -> None:
    for _ in range(2):
        desk.jobs.start()
        assert desk.jobs.size == 1
    desk.jobs.submit(1, _nothing)
    wait_until(lambda: desk.finished == [1], "it does the job")
    assert desk.jobs.size == 1


@pytest.mark.parametrize(
    ("threads", "hung", "ended", "after_s", "adds"),
    [
        (1, 0, 0, 0.025, True),
        # The last look was just now.
        (1, 0, 0, 0.02, False),
        # Two jobs for each thread that works are enough.
        (1, 0, 1, 0.025, True),
        (1, 0, 2, 0.025, False),
        (3, 1, 3, 0.025, True),
        (3, 1, 4, 0.025, False),
        (1, 1, 1, 0.025, True),
        (1, 1, 2, 0.025, False),
        (15, 0, 0, 0.025, True),
        (16, 0, 0, 0.025, False),
        (99, 99, 0, 0.025, True),
        (100, 100, 0, 0.025, False),
    ],
)
def test_look_adds_a_thread_where_little_was_done(
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    hung: int,
    ended: int,
    after_s: float,
    adds: bool,
) -> None:
    def start(*_: object, lasting: bool) -> Mock:
        assert lasting
        return Mock()

    now = [after_s]
    monkeypatch.setattr(jobs_module, "time", Mock(monotonic=lambda: now[0]))
    monkeypatch.setattr(jobs_module, "try_start_thread", start)
    jobs: KeyedJobs[int] = KeyedJobs("test-job", lambda _: None, lambda began, _: began < 0)
    jobs._threads.update(Mock() for _ in range(threads))
    jobs._running.update((key, -1.0 if key < hung else 0.0) for key in range(threads))
    jobs._queue.append(threads)
    jobs._ended += ended
    jobs.look()
    assert jobs.size == threads + adds
    if ended:
        # What had ended before the last look does not count.
        now[0] += 0.025
        jobs.look()
        assert jobs.size == threads + adds + 1


@pytest.mark.parametrize("reason", ["nothing waits", "one is idle", "it stops"])
def test_look_adds_no_thread_in_vain(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    monkeypatch.setattr(jobs_module, "try_start_thread", lambda *_, **__: Mock())
    jobs: KeyedJobs[int] = KeyedJobs("test-job", lambda _: None, is_hung)
    if reason == "it stops":
        jobs.stop(0.0)
    if reason != "nothing waits":
        jobs._queue.append(1)
    if reason == "one is idle":
        jobs._idle += 1
    jobs.look()
    assert jobs.size == 0


def test_second_job_of_a_key_that_runs_is_left_out(desk: Desk) -> None:
    runs = []
    desk.hang(1)
    wait_until(lambda: 1 in desk.jobs._running, "the job runs")
    desk.jobs.submit(1, lambda: runs.append(1))
    desk.gate.set()
    desk.jobs.submit(2, _nothing)
    desk.await_finished(1, 2)
    assert runs == []


def test_second_job_of_a_key_that_waits_is_left_out(desk: Desk) -> None:
    runs = []
    desk.hang(1)
    wait_until(lambda: 1 in desk.jobs._running, "the first job runs")
    for run in range(3):
        desk.jobs.submit(2, lambda run=run: runs.append(run))  # type: ignore[misc]
    desk.gate.set()
    desk.await_finished(1, 2)
    assert runs == [0]


def test_key_can_be_used_again_after_its_job(desk: Desk) -> None:
    desk.jobs.submit(1, _nothing)
    desk.await_finished(1)
    desk.jobs.submit(1, _nothing)
    desk.await_finished(1, 1)


def test_jobs_that_hang_delay_no_others(desk: Desk, impatient: None) -> None:
    desk.hang(*range(20))
    for key in range(20, 60):
        desk.jobs.submit(key, _nothing)
    desk.await_finished(*range(20, 60))
    assert set(desk.jobs._running) == set(range(20))


def test_threads_end_after_a_hang(desk: Desk, impatient: None) -> None:
    desk.hang(*range(12))
    desk.jobs.submit(99, _nothing)
    desk.await_finished(99)
    desk.gate.set()
    wait_until(lambda: desk.jobs.size == 1, "one thread is left")


def test_number_of_threads_is_bounded(
    desk: Desk, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_MAX_HUNG", 5)
    desk.hang(*range(50))

    def all_hang() -> bool:
        desk.jobs.look()
        return len(desk.jobs.hung()) >= 5

    wait_until(all_hang, "as many as may have hung for long")
    for _ in range(20):
        desk.jobs.look()
    assert desk.jobs.size <= 5 + jobs_module._MAX_WORKING


def test_healthy_jobs_are_left_to_one_thread() -> None:
    def threads_for_many() -> int:
        desk = Desk()
        for key in range(2000):
            desk.jobs.submit(key, _nothing)
            desk.jobs.look()
        wait_until(lambda: len(desk.finished) == 2000, "all are done")
        size = desk.jobs.size
        desk.jobs.stop(PATIENCE_S)
        return size

    # On a busy machine the thread may not get to run between two looks, which adds another.
    assert any(threads_for_many() == 1 for _ in range(10))


def test_job_that_fails_is_reported_and_finished(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("broken")

    desk.jobs.submit(7, fail)
    desk.jobs.submit(8, _nothing)
    desk.await_finished(7, 8)
    assert [record.message for record in caplog.records] == ["the job of 7 failed"]


def test_nothing_is_taken_on_after_the_stop() -> None:
    finished: list[int] = []
    jobs: KeyedJobs[int] = KeyedJobs("test-job", finished.append, is_hung)
    jobs.submit(1, _nothing)
    wait_until(lambda: finished == [1], "the job is done")
    jobs.stop(PATIENCE_S)
    jobs.submit(2, _nothing)
    assert jobs.size == 0
    assert finished == [1]


def test_stop_does_not_wait_for_a_job_that_hangs() -> None:
    gate = threading.Event()
    finished: list[int] = []
    jobs: KeyedJobs[int] = KeyedJobs("test-job", finished.append, is_hung)
    jobs.submit(1, lambda: _wait(gate))
    jobs.submit(2, _nothing)
    wait_until(lambda: 1 in jobs._running, "the job runs")
    promptly(lambda: jobs.stop(0.01), 0.5)
    gate.set()
    wait_until(lambda: jobs.size == 0, "its thread ends later")
    assert finished == [1]


def test_same_key_never_runs_twice_at_a_time(desk: Desk, impatient: None) -> None:
    inside: dict[int, int] = dict.fromkeys(range(5), 0)
    most = []
    lock = threading.Lock()

    def job_of(key: int) -> Callable[[], None]:
        def job() -> None:
            with lock:
                inside[key] += 1
                most.append(inside[key])
            with lock:
                inside[key] -= 1

        return job

    for _ in range(300):
        for key in inside:
            desk.jobs.submit(key, job_of(key))
        desk.jobs.look()
    last = len(inside)
    desk.jobs.submit(last, _nothing)
    wait_until(lambda: last in desk.finished and not desk.jobs._running, "all jobs have ended")
    assert set(desk.finished) == {*inside, last}
    assert set(most) == {1}


def test_jobs_wait_while_the_system_has_no_threads(
    desk: Desk, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    desk.jobs.submit(1, _nothing)
    desk.jobs.look()
    assert desk.jobs.size == 0
    monkeypatch.undo()
    desk.await_finished(1)
