"""The observer: it answers requests, and never delays a stop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from itertools import count

import pytest

from mogstored.observability.frames import LENGTH
from mogstored.observability.snapshot import ProcessSnapshot
from mogstored.observer import REQUEST, Observer
from tests.support.waiting import PATIENCE_S, promptly, wait_until


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The end that asks, and the observer's, which the observer closes."""
    ours, its = socket.socketpair()
    ours.settimeout(PATIENCE_S)
    with ours, its:
        yield ours, its


def snapshots(pids: Iterator[int]) -> bytes:
    return ProcessSnapshot(next(pids), 0, 0.0, "serving").encode()


def receive(sock: socket.socket) -> ProcessSnapshot:
    (length,) = LENGTH.unpack(sock.recv(LENGTH.size, socket.MSG_WAITALL))
    return ProcessSnapshot.decode(sock.recv(length, socket.MSG_WAITALL))


def test_each_request_is_answered_with_a_new_snapshot(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, its = pair
    pids = count(1)
    observer = Observer(its, lambda: snapshots(pids))
    observer.start()
    for pid in (1, 2, 3):
        ours.sendall(REQUEST)
        assert receive(ours).pid == pid
    observer.stop()
    assert receive(ours).pid == 4, "the last one"
    assert ours.recv(1) == b""


def test_stream_that_ends_ends_the_thread(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, its = pair
    observer = Observer(its, lambda: snapshots(count()))
    observer.start()
    ours.close()
    wait_until(lambda: its.fileno() == -1, "the observer has closed its end")
    promptly(observer.stop, 1.0)


def test_reader_that_stopped_reading_does_not_delay_the_stop(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, its = pair
    large = ProcessSnapshot(1, 0, 0.0, "serving", commands={"x" * 10_000_000: 1}).encode()
    observer = Observer(its, lambda: large)
    observer.start()
    ours.sendall(REQUEST)
    # It sends, and will not end before its time-out.
    assert ours.recv(1)
    promptly(observer.stop, 5.0)


def test_failed_collection_leaves_the_next_one(
    pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    ours, its = pair
    # The first one has no number to take.
    numbers = iter([iter(()), count(7), count(8)])
    observer = Observer(its, lambda: snapshots(next(numbers)))
    observer.start()
    ours.sendall(REQUEST)
    wait_until(lambda: "a snapshot of the counters failed" in caplog.text, "the line")
    ours.sendall(REQUEST)
    assert receive(ours).pid == 7
    observer.stop()


def test_stream_without_a_descriptor_for_it_is_no_request(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """The system has dropped the stream; the next one comes the same way."""
    ours, its = pair
    pids = count(1)
    observer = Observer(its, lambda: snapshots(pids))
    observer.start()
    ours.sendall(b"+" + REQUEST)
    assert receive(ours).pid == 1
    near, far = socket.socketpair()
    near.settimeout(PATIENCE_S)
    with near:
        with far:
            socket.send_fds(ours, [b"+"], [far.fileno()])
        near.sendall(REQUEST)
        assert receive(near).pid == 2
        observer.stop()


def test_stream_that_comes_while_the_observer_stops_is_closed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, its = pair
    collects, may_go_on = threading.Event(), threading.Event()
    pids = count(1)

    def collect() -> bytes:
        collects.set()
        may_go_on.wait(PATIENCE_S)
        return snapshots(pids)

    observer = Observer(its, collect)
    observer.start()
    ours.sendall(REQUEST)
    assert collects.wait(PATIENCE_S)
    near, far = socket.socketpair()
    near.settimeout(PATIENCE_S)
    with near:
        with far:
            socket.send_fds(ours, [b"+"], [far.fileno()])
        # It waits for half a second in vain.
        observer.stop()
        may_go_on.set()
        assert receive(ours).pid == 1
        assert near.recv(1) == b""
