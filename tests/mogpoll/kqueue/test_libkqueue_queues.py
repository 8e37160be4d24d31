"""Queues of the libkqueue shim: descriptor, threads, signals and fork."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

import pytest

from mogpoll.libkqueue.shim import Libkqueue, kevent, kqueue
from tests.mogpoll.kqueue.over_libkqueue import (
    DELETE,
    PATH,
    READ,
    WRITE,
    Pair,
    arm,
    is_readable,
    needs_library,
    open_descriptors,
    received,
)
from tests.support.threads import join

# The queue's own descriptor


@needs_library
def test_queue_is_readable_exactly_while_an_event_is_pending(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    seen = [is_readable(queue.fileno())]
    arm(queue, ours)
    seen.append(is_readable(queue.fileno()))
    theirs.send(b"abc")
    seen.append(is_readable(queue.fileno()))
    received(queue)
    seen.append(is_readable(queue.fileno()))
    arm(queue, ours)
    seen.append(is_readable(queue.fileno()))
    queue.control([kevent(ours, READ, DELETE)], 0)
    seen.append(is_readable(queue.fileno()))
    assert seen == [False, False, True, False, True, False]


@needs_library
def test_queue_is_not_inherited_by_exec(queue: kqueue) -> None:
    assert not os.get_inheritable(queue.fileno())


@needs_library
def test_closed_queue_refuses_everything_but_close(kernel: Libkqueue) -> None:
    queue = kernel.kqueue()
    queue.close()
    queue.close()
    assert queue.closed
    with pytest.raises(ValueError, match="I/O operation on closed kqueue object"):
        queue.control(None, 1, 0)
    with pytest.raises(ValueError, match="I/O operation on closed kqueue object"):
        queue.fileno()


@needs_library
@pytest.mark.parametrize("end", [kqueue.close, lambda _: None], ids=["close", "destructor"])
def test_queue_leaves_no_descriptor(
    kernel: Libkqueue, pair: Pair, end: Callable[[kqueue], None]
) -> None:
    before = open_descriptors()
    queue = kernel.kqueue()
    arm(queue, pair[0], READ)
    arm(queue, pair[0], WRITE)
    end(queue)
    del queue
    gc.collect()
    assert open_descriptors() == before


# Threads and signals


def run_all(*targets: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def guarded(target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(t,), daemon=True) for t in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        join(thread)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)


@needs_library
def test_every_one_shot_goes_to_one_of_many_threads(queue: kqueue) -> None:
    rounds, pairs = 200, [socket.socketpair() for _ in range(8)]
    turns = {ours.fileno(): 0 for ours, _ in pairs}
    lock, left = threading.Lock(), len(pairs)
    stop_reading, stop_writing = os.pipe()
    queue.control([kevent(stop_reading)], 0)

    def work() -> None:
        nonlocal left
        while (event := queue.control(None, 1)[0]).ident != stop_reading:
            assert event.udata == turns[event.ident]  # a second owner would find it changed
            turns[event.ident] += 1
            if event.udata < rounds:
                arm(queue, event.ident, udata=event.udata + 1)
                continue
            with lock:
                left -= 1
                if not left:
                    os.write(stop_writing, b".")

    for ours, theirs in pairs:
        theirs.send(b"abc")
        arm(queue, ours)
    run_all(*[work] * 6)
    for file in (end for both in pairs for end in both):
        file.close()
    os.close(stop_reading)
    os.close(stop_writing)
    assert set(turns.values()) == {rounds + 1}


@needs_library
def test_filters_can_be_deleted_under_waiting_threads(queue: kqueue) -> None:
    stop_reading, stop_writing = os.pipe()
    queue.control([kevent(stop_reading)], 0)

    def wait() -> None:
        while (event := queue.control(None, 1)[0]).ident != stop_reading:
            assert event.udata == event.ident

    def churn() -> None:
        ours, theirs = socket.socketpair()
        theirs.send(b"abc")
        for filter_ in (READ, WRITE) * 500:
            arm(queue, ours, filter_, udata=ours.fileno())
            try:
                queue.control([kevent(ours, filter_, DELETE)], 0)
            except FileNotFoundError:
                pass  # a waiter was first
        ours.close()
        theirs.close()

    def finish() -> None:
        run_all(churn, churn)
        os.write(stop_writing, b".")

    run_all(wait, wait, wait, finish)
    os.close(stop_reading)
    os.close(stop_writing)


@needs_library
def test_queue_is_not_readable_to_a_monitor_once_a_waiter_took_the_event(
    queue: kqueue, pair: Pair
) -> None:
    ours, theirs = pair
    arm(queue, ours)
    monitored, taken = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        while not monitored.is_set():
            if queue.control(None, 1, 0.01):
                taken.release()

    def monitor() -> None:
        theirs.send(b"abc")
        assert taken.acquire(timeout=20)
        assert not is_readable(queue.fileno())
        monitored.set()

    run_all(*[wait] * 5, monitor)
    assert not taken.acquire(blocking=False)


@needs_library
def test_queues_come_and_go_in_many_threads(kernel: Libkqueue) -> None:
    before = open_descriptors()

    def churn() -> None:
        for _ in range(50):
            queue = kernel.kqueue()
            ours, theirs = socket.socketpair()
            arm(queue, ours, WRITE)
            assert len(received(queue)) == 1
            ours.close()
            theirs.close()
            queue.close()

    run_all(*[churn] * 5)
    assert open_descriptors() == before


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yield a function that sets the handler of SIGUSR1 for the test."""
    previous = signal.getsignal(signal.SIGUSR1)
    yield lambda action: void(signal.signal(signal.SIGUSR1, lambda _number, _frame: action()))
    signal.signal(signal.SIGUSR1, previous)


def void(_: object) -> None:
    pass


def is_answered(handled: SimpleQueue[None]) -> bool:
    try:
        handled.get(timeout=0.05)
    except Empty:
        return False
    return True


def interrupt_main_thread() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


@needs_library
def test_wait_goes_on_after_signals(
    queue: kqueue, pair: Pair, on_signal: Callable[[Callable[[], None]], None]
) -> None:
    # Its put is reentrant, unlike a lock.
    handled: SimpleQueue[None] = SimpleQueue()
    on_signal(lambda: handled.put(None))
    arm(queue, pair[0])

    def interrupt() -> None:
        for _ in range(10):
            interrupt_main_thread()
            # A signal just before the system call does not interrupt it: repeat.
            while not is_answered(handled):
                interrupt_main_thread()
        pair[1].send(b"abc")

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    seen = [event.ident for event in queue.control(None, 1, 30)]
    join(interrupter)
    assert seen == [pair[0].fileno()]


@needs_library
def test_wait_ends_with_the_exception_of_a_signal_handler(
    queue: kqueue, on_signal: Callable[[Callable[[], None]], None]
) -> None:
    class Stop(Exception):
        pass

    is_over = threading.Event()

    def stop() -> None:
        if not is_over.is_set():
            is_over.set()
            raise Stop

    on_signal(stop)

    def interrupt() -> None:
        # Repeat, as above.
        while not is_over.wait(0.05):
            interrupt_main_thread()

    interrupter = threading.Thread(target=interrupt)

    def wait() -> None:
        interrupter.start()
        queue.control(None, 1, 30)

    with pytest.raises(Stop):
        wait()
    join(interrupter)


# Fork

FORK = """
import gc, os, socket, sys
from mogpoll.libkqueue import shim

kernel = shim.load(sys.argv[1])
queue = kernel.kqueue()
number = queue.fileno()
child = os.fork()
if child == 0:
    assert queue.closed
    try:
        queue.control(None, 1, 0)
    except ValueError:
        pass
    else:
        os._exit(3)
    os.closerange(3, 64)
    while (last := os.open("/dev/null", os.O_RDONLY)) < 32:
        pass
    queue.close()
    del queue
    gc.collect()
    for fd in range(3, last + 1):
        os.fstat(fd)
    own = kernel.kqueue()
    ours, theirs = socket.socketpair()
    own.control([kernel.kevent(ours, kernel.KQ_FILTER_WRITE)], 0)
    assert len(own.control(None, 1, 0)) == 1
    own.close()
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert queue.control(None, 1, 0) == []
sys.exit(status)
"""


@needs_library
def test_n17_forked_child_neither_uses_nor_closes_the_queue_of_its_parent() -> None:
    assert PATH
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", FORK, PATH],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
