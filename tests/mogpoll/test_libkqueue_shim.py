"""The stand-in for `select.kqueue` behaves as a kqueue backend expects of a BSD."""

from __future__ import annotations

import ctypes.util
import errno
import gc
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

import pytest

from mogpoll.testing import libkqueue
from mogpoll.testing.libkqueue import Libkqueue, kevent, kqueue

PATH = os.environ.get("MOGPOLL_LIBKQUEUE")
READ, WRITE = Libkqueue.KQ_FILTER_READ, Libkqueue.KQ_FILTER_WRITE
ADD, DELETE, ONESHOT = Libkqueue.KQ_EV_ADD, Libkqueue.KQ_EV_DELETE, Libkqueue.KQ_EV_ONESHOT
EOF, ERROR = Libkqueue.KQ_EV_EOF, Libkqueue.KQ_EV_ERROR

Pair = tuple[socket.socket, socket.socket]

needs_library = pytest.mark.skipif(
    not PATH, reason="MOGPOLL_LIBKQUEUE names no libkqueue (tests.support.fetch_libkqueue)"
)


@pytest.fixture
def kernel() -> Libkqueue:
    assert PATH
    return libkqueue.load(PATH)


@pytest.fixture
def queue(kernel: Libkqueue) -> Iterator[kqueue]:
    made = kernel.kqueue()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def arm(queue: kqueue, file: int | socket.socket, filter_: int = READ, udata: int = 0) -> None:
    assert queue.control([kevent(file, filter_, ADD | ONESHOT, 0, 0, udata)], 0) == []


def look(queue: kqueue) -> list[tuple[int, int, int]]:
    return [(event.ident, event.filter, event.udata) for event in queue.control(None, 8, 0)]


def is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def refusal(action: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the caller compares the errno
        action()
    return caught.value.errno


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


# Loading


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in is for Linux")
def test_load_names_the_path_of_a_missing_library() -> None:
    with pytest.raises(OSError, match=r"/nowhere/libkqueue\.so\.0"):
        libkqueue.load("/nowhere/libkqueue.so.0")


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in is for Linux")
def test_load_refuses_another_library() -> None:
    other = ctypes.util.find_library("c") or "libc.so.6"
    with pytest.raises(OSError, match="is not libkqueue"):
        libkqueue.load(other)


# One descriptor


@needs_library
def test_level_triggered_event_is_repeated(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    queue.control([kevent(ours, READ, ADD, 0, 0, 7)], 0)
    theirs.send(b"abc")
    assert [look(queue), look(queue)] == [[(ours.fileno(), READ, 7)]] * 2


@needs_library
def test_one_shot_fires_once_until_added_again(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"abc")
    arm(queue, ours, udata=1)
    told = [look(queue), look(queue)]
    arm(queue, ours, udata=2)
    told += [look(queue), look(queue)]
    fd = ours.fileno()
    assert told == [[(fd, READ, 1)], [], [(fd, READ, 2)], []]


@needs_library
def test_read_counts_the_bytes(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"abc")
    arm(queue, ours)
    assert queue.control(None, 1)[0].data == 3


@needs_library
@pytest.mark.parametrize("first", [READ, WRITE])
def test_both_filters_of_one_descriptor_fire_with_their_own_udata(
    queue: kqueue, pair: Pair, first: int
) -> None:
    ours, theirs = pair
    theirs.send(b"abc")
    for filter_ in sorted((READ, WRITE), key=lambda f: f != first):
        arm(queue, ours, filter_, udata=10 - filter_)
    fd = ours.fileno()
    assert sorted(look(queue)) == [(fd, WRITE, 12), (fd, READ, 11)]


@needs_library
def test_one_filter_stays_armed_when_the_other_fires(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    arm(queue, ours, READ)
    arm(queue, ours, WRITE)
    told = [look(queue), look(queue)]
    theirs.send(b"abc")
    fd = ours.fileno()
    assert [*told, look(queue), look(queue)] == [[(fd, WRITE, 0)], [], [(fd, READ, 0)], []]


@needs_library
def test_filters_added_and_deleted_many_times_leave_no_descriptor(
    queue: kqueue, pair: Pair
) -> None:
    before = open_descriptors()
    for _ in range(20):
        for filter_ in (READ, WRITE, READ, WRITE):
            arm(queue, pair[0], filter_)
        look(queue)
        arm(queue, pair[0], WRITE)
        for filter_ in (WRITE, READ):
            queue.control([kevent(pair[0], filter_, DELETE)], 0)
    assert open_descriptors() == before


@needs_library
def test_adding_an_existing_filter_replaces_its_udata(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    arm(queue, ours, udata=1)
    arm(queue, ours, udata=2)
    theirs.send(b"abc")
    assert [look(queue), look(queue)] == [[(ours.fileno(), READ, 2)], []]


@needs_library
def test_deleted_filter_does_not_fire(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    arm(queue, ours)
    theirs.send(b"abc")
    queue.control([kevent(ours, READ, DELETE)], 0)
    assert look(queue) == []


@needs_library
def test_disabled_filter_fires_when_enabled_again(
    kernel: Libkqueue, queue: kqueue, pair: Pair
) -> None:
    ours, theirs = pair
    arm(queue, ours)
    theirs.send(b"abc")
    queue.control([kevent(ours, READ, kernel.KQ_EV_DISABLE)], 0)
    told = [look(queue)]
    queue.control([kevent(ours, READ, kernel.KQ_EV_ENABLE)], 0)
    assert [*told, look(queue)] == [[], [(ours.fileno(), READ, 0)]]


@needs_library
def test_number_closed_while_armed_can_be_added_for_its_next_file(queue: kqueue) -> None:
    ours, theirs = socket.socketpair()
    fd = ours.fileno()
    arm(queue, fd, udata=1)
    other, far = socket.socketpair()
    with theirs, other, far:
        os.dup2(other.fileno(), fd)
        far.send(b"abc")
        arm(queue, fd, udata=2)
        told = look(queue)
        ours.close()
    assert told == [(fd, READ, 2)]


# End of file and errors of the peer


@needs_library
def test_end_of_file_is_told_with_data_still_unread(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"abc")
    theirs.shutdown(socket.SHUT_WR)
    arm(queue, ours)
    (event,) = queue.control(None, 1, 0)
    assert (event.flags & EOF, event.data) == (EOF, 3)


@needs_library
@pytest.mark.parametrize("filter_", [READ, WRITE])
def test_reset_by_peer_is_end_of_file_with_the_error(queue: kqueue, filter_: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname(), timeout=10)
        near, _ = listener.accept()
    with near:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        assert select.select([near], [], [], 10)[0]
        arm(queue, near, filter_)
        (event,) = queue.control(None, 1, 0)
        # What stays different: a kqueue would leave the error to be met.
        assert near.recv(1) == b""
    assert (event.flags & EOF, event.fflags) == (EOF, errno.ECONNRESET)


@needs_library
def test_pipe_without_a_reader_is_end_of_file_to_its_writer(queue: kqueue) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arm(queue, writer, WRITE)
    (event,) = queue.control(None, 1, 0)
    os.close(writer)
    assert (event.filter, event.flags & EOF) == (WRITE, EOF)


# Changes that fail


@needs_library
@pytest.mark.parametrize("flags", [ADD, ADD | ONESHOT, DELETE])
def test_change_of_a_closed_descriptor_is_ebadf(queue: kqueue, flags: int) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    arm(queue, ours)
    fd = ours.detach()
    os.close(fd)
    assert refusal(lambda: queue.control([kevent(fd, READ, flags)], 0)) == errno.EBADF


@needs_library
def test_delete_of_an_unknown_filter_is_enoent(queue: kqueue, pair: Pair) -> None:
    arm(queue, pair[0], READ)
    refused = refusal(lambda: queue.control([kevent(pair[0], WRITE, DELETE)], 0))
    assert refused == errno.ENOENT


@needs_library
def test_delete_after_delivery_is_enoent(queue: kqueue, pair: Pair) -> None:
    arm(queue, pair[0], WRITE)
    look(queue)
    refused = refusal(lambda: queue.control([kevent(pair[0], WRITE, DELETE)], 0))
    assert refused == errno.ENOENT


@needs_library
def test_n14_without_room_the_first_failure_stops_the_rest(queue: kqueue, pair: Pair) -> None:
    changes = [kevent(pair[0], READ, DELETE), kevent(pair[0], WRITE, ADD)]
    assert refusal(lambda: queue.control(changes, 0)) == errno.ENOENT
    assert look(queue) == []


@needs_library
def test_n14_with_room_failures_are_events_and_the_rest_goes_on(queue: kqueue, pair: Pair) -> None:
    changes = [kevent(pair[0], READ, DELETE, 0, 0, 5), kevent(pair[0], WRITE, ADD)]
    (failure,) = queue.control(changes, 4)
    told = (failure.ident, failure.flags, failure.data, failure.udata)
    assert told == (pair[0].fileno(), ERROR, errno.ENOENT, 5)
    assert look(queue) == [(pair[0].fileno(), WRITE, 0)]


# Arguments


@needs_library
def test_arguments_are_checked_as_select_checks_them(queue: kqueue) -> None:
    with pytest.raises(ValueError, match="timeout must be positive or None"):
        queue.control(None, 1, -0.5)
    with pytest.raises(ValueError, match="Length of eventlist must be 0 or positive, got -1"):
        queue.control(None, -1)
    with pytest.raises(TypeError, match="must be an iterable of"):
        queue.control([object()], 0)  # type: ignore[list-item]


@needs_library
def test_changes_and_wait_in_one_call(queue: kqueue, pair: Pair) -> None:
    changes = (change for change in [kevent(pair[0], WRITE)])
    assert [event.filter for event in queue.control(changes, 1)] == [WRITE]


@needs_library
@pytest.mark.parametrize("timeout_s", [0.0005, 0.0025, 0.05])
def test_empty_wait_lasts_as_long_as_asked(queue: kqueue, timeout_s: float) -> None:
    started = time.monotonic()
    assert queue.control(None, 1, timeout_s) == []
    assert time.monotonic() - started >= timeout_s


@needs_library
def test_event_of_a_file_object_carries_its_number(pair: Pair) -> None:
    assert kevent(pair[0]).ident == pair[0].fileno()


# The queue's own descriptor


@needs_library
def test_queue_is_readable_exactly_while_an_event_is_pending(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    seen = [is_readable(queue.fileno())]
    arm(queue, ours)
    seen.append(is_readable(queue.fileno()))
    theirs.send(b"abc")
    seen.append(is_readable(queue.fileno()))
    look(queue)
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
        thread.join(30)
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
            assert len(look(queue)) == 1
            ours.close()
            theirs.close()
            queue.close()

    run_all(*[churn] * 5)
    assert open_descriptors() == before


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Give a function that says what SIGUSR1 is to do during the test."""
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
    # Its put, and not that of a lock, may be interrupted by itself.
    handled: SimpleQueue[None] = SimpleQueue()
    on_signal(lambda: handled.put(None))
    arm(queue, pair[0])

    def interrupt() -> None:
        for _ in range(10):
            interrupt_main_thread()
            # A signal that comes just before the system call does not interrupt it: repeat.
            while not is_answered(handled):
                interrupt_main_thread()
        pair[1].send(b"abc")

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    told = [event.ident for event in queue.control(None, 1, 30)]
    interrupter.join(10)
    assert told == [pair[0].fileno()]


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
        # Repeated for the same reason as above.
        while not is_over.wait(0.05):
            interrupt_main_thread()

    interrupter = threading.Thread(target=interrupt)

    def wait() -> None:
        interrupter.start()
        queue.control(None, 1, 30)

    with pytest.raises(Stop):
        wait()
    interrupter.join(10)
    assert not interrupter.is_alive()


# Fork

FORK = """
import gc, os, socket, sys
from mogpoll.testing import libkqueue

kernel = libkqueue.load(sys.argv[1])
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
