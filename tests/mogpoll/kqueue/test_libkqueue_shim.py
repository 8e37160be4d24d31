"""Filters and changes of the libkqueue shim, compared with a BSD's kqueue."""

from __future__ import annotations

import ctypes.util
import errno
import os
import select
import socket
import struct
import sys
import time

import pytest

from mogpoll.libkqueue import shim
from mogpoll.libkqueue.shim import Libkqueue, kevent, kqueue
from tests.mogpoll.kqueue.over_libkqueue import (
    ADD,
    DELETE,
    EOF,
    ERROR,
    ONESHOT,
    READ,
    WRITE,
    Pair,
    arm,
    needs_library,
    open_descriptors,
    received,
    refusal,
)

# Loading


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in is for Linux")
def test_load_names_the_path_of_a_missing_library() -> None:
    with pytest.raises(OSError, match=r"/nowhere/libkqueue\.so\.0"):
        shim.load("/nowhere/libkqueue.so.0")


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in is for Linux")
def test_load_refuses_another_library() -> None:
    other = ctypes.util.find_library("c") or "libc.so.6"
    with pytest.raises(OSError, match="is not libkqueue"):
        shim.load(other)


# One descriptor


@needs_library
def test_level_triggered_event_is_repeated(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    queue.control([kevent(ours, READ, ADD, 0, 0, 7)], 0)
    theirs.send(b"abc")
    assert [received(queue), received(queue)] == [[(ours.fileno(), READ, 7)]] * 2


@needs_library
def test_one_shot_fires_once_until_added_again(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"abc")
    arm(queue, ours, udata=1)
    seen = [received(queue), received(queue)]
    arm(queue, ours, udata=2)
    seen += [received(queue), received(queue)]
    fd = ours.fileno()
    assert seen == [[(fd, READ, 1)], [], [(fd, READ, 2)], []]


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
    assert sorted(received(queue)) == [(fd, WRITE, 12), (fd, READ, 11)]


@needs_library
def test_one_filter_stays_armed_when_the_other_fires(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    arm(queue, ours, READ)
    arm(queue, ours, WRITE)
    seen = [received(queue), received(queue)]
    theirs.send(b"abc")
    fd = ours.fileno()
    assert [*seen, received(queue), received(queue)] == [[(fd, WRITE, 0)], [], [(fd, READ, 0)], []]


@needs_library
def test_filters_added_and_deleted_many_times_leave_no_descriptor(
    queue: kqueue, pair: Pair
) -> None:
    before = open_descriptors()
    for _ in range(20):
        for filter_ in (READ, WRITE, READ, WRITE):
            arm(queue, pair[0], filter_)
        received(queue)
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
    assert [received(queue), received(queue)] == [[(ours.fileno(), READ, 2)], []]


@needs_library
def test_deleted_filter_does_not_fire(queue: kqueue, pair: Pair) -> None:
    ours, theirs = pair
    arm(queue, ours)
    theirs.send(b"abc")
    queue.control([kevent(ours, READ, DELETE)], 0)
    assert received(queue) == []


@needs_library
def test_disabled_filter_fires_when_enabled_again(
    kernel: Libkqueue, queue: kqueue, pair: Pair
) -> None:
    ours, theirs = pair
    arm(queue, ours)
    theirs.send(b"abc")
    queue.control([kevent(ours, READ, kernel.KQ_EV_DISABLE)], 0)
    seen = [received(queue)]
    queue.control([kevent(ours, READ, kernel.KQ_EV_ENABLE)], 0)
    assert [*seen, received(queue)] == [[], [(ours.fileno(), READ, 0)]]


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
        seen = received(queue)
        ours.close()
    assert seen == [(fd, READ, 2)]


# End of file and errors of the peer


@needs_library
def test_end_of_file_is_reported_with_data_still_unread(queue: kqueue, pair: Pair) -> None:
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
        # A difference that remains: kqueue would leave the error to the next read.
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
    received(queue)
    refused = refusal(lambda: queue.control([kevent(pair[0], WRITE, DELETE)], 0))
    assert refused == errno.ENOENT


@needs_library
def test_n14_without_room_the_first_failure_stops_the_rest(queue: kqueue, pair: Pair) -> None:
    changes = [kevent(pair[0], READ, DELETE), kevent(pair[0], WRITE, ADD)]
    assert refusal(lambda: queue.control(changes, 0)) == errno.ENOENT
    assert received(queue) == []


@needs_library
def test_n14_with_room_failures_are_events_and_the_rest_goes_on(queue: kqueue, pair: Pair) -> None:
    changes = [kevent(pair[0], READ, DELETE, 0, 0, 5), kevent(pair[0], WRITE, ADD)]
    (failure,) = queue.control(changes, 4)
    seen = (failure.ident, failure.flags, failure.data, failure.udata)
    assert seen == (pair[0].fileno(), ERROR, errno.ENOENT, 5)
    assert received(queue) == [(pair[0].fileno(), WRITE, 0)]


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
