"""The profiled kqueues do what their rows say, and mogpoll is right on each of them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mogpoll import BadDescriptor, KqueuePoller, NotPollable, NotRegistered, Readiness
from tests.mogpoll.checks import BOTH, READ, WRITE
from tests.mogpoll.kqueue import filters
from tests.mogpoll.kqueue.profiled_kqueue import KqueueOf, ProfiledKqueue, received
from tests.mogpoll.kqueue.profiles import PROFILES, ROWS, SYSTEMS, Profile
from tests.mogpoll.kqueue.scripted_kqueue import Change
from tests.support.sockets import drain, reset, tcp_pair
from tests.support.threads import Running, wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogpoll import Interest
    from tests.mogpoll.checks import Pair

pytestmark = pytest.mark.skipif("sys.platform != 'linux'", reason="they stand on an epoll")

ADD, DELETE, ONESHOT, RECEIPT = 0x1, 0x2, 0x10, 0x40
EOF, ERROR = 0x8000, 0x4000
ONCE = ADD | ONESHOT


@pytest.fixture(params=SYSTEMS)
def profile(request: pytest.FixtureRequest) -> Profile:
    return PROFILES[request.param]


@pytest.fixture
def queue(profile: Profile) -> Iterator[ProfiledKqueue]:
    made = ProfiledKqueue(profile)
    yield made
    made.close()


@pytest.fixture
def poller(profile: Profile) -> Iterator[KqueuePoller]:
    made = KqueuePoller(KqueueOf(profile))
    yield made
    made.close()


@pytest.fixture
def orphan() -> Iterator[int]:
    """A pipe's writing end whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def arm(queue: ProfiledKqueue, fd: int, filter_: int = filters.READ, udata: int = 0) -> None:
    assert queue.control([Change(fd, filter_, ONCE, 0, 0, udata)], 0) == []


def refusal(queue: ProfiledKqueue, change: Change) -> int | None:
    try:
        queue.control([change], 0)
    except OSError as error:
        return error.errno
    return None


def test_every_row_names_its_note_and_no_field_lacks_one() -> None:
    assert all(row.note.startswith("n") for row in ROWS)
    assert {row.field for row in ROWS} == set(Profile.__slots__) - {"name"}


# One-shots


def test_n03_n61_stale_one_shot_has_its_old_count(
    profile: Profile, queue: ProfiledKqueue, pair: Pair
) -> None:
    arm(queue, pair[0].fileno())
    pair[1].send(b"abc")
    queue.look_now()
    drain(pair[0])
    counts = [event.data for event in received(queue)]
    assert counts == ([3] if profile.stale_one_shot else [])


def test_n61_one_shot_that_was_not_stale_enough_stays_armed(
    profile: Profile, queue: ProfiledKqueue, pair: Pair
) -> None:
    arm(queue, pair[0].fileno())
    pair[1].send(b"abc")
    queue.look_now()
    drain(pair[0])
    received(queue)
    pair[1].send(b"d")
    counts = [event.data for event in received(queue)]
    assert counts == ([] if profile.stale_one_shot else [1])


def test_n02_n61_queued_one_shot_that_is_added_again_has_the_new_udata(
    queue: ProfiledKqueue, pair: Pair
) -> None:
    pair[1].send(b"a")
    arm(queue, pair[0].fileno(), udata=1)
    arm(queue, pair[0].fileno(), udata=2)
    assert [event.udata for event in received(queue)] == [2]


def test_n01_two_filters_are_two_events_and_each_is_gone_after_it(
    queue: ProfiledKqueue, pair: Pair
) -> None:
    pair[1].send(b"a")
    for filter_ in (filters.READ, filters.WRITE):
        arm(queue, pair[0].fileno(), filter_)
    found = received(queue)
    assert sorted(event.filter for event in found) == [filters.WRITE, filters.READ]
    assert received(queue) == []
    for filter_ in (filters.READ, filters.WRITE):
        change = Change(pair[0].fileno(), filter_, DELETE)
        assert refusal(queue, change) == errno.ENOENT


# Ends


def test_n04_n61_error_of_a_reset_survives_its_event(queue: ProfiledKqueue) -> None:
    with tcp_pair() as (near, far):
        arm(queue, near.fileno())
        reset(far)
        (event,) = queue.control(None, 1, 10)
        with pytest.raises(ConnectionResetError):
            near.recv(1)
    assert (event.flags & EOF, event.fflags) == (EOF, errno.ECONNRESET)


def test_n04_n61_owner_reads_the_reset_after_mogpolls_event(poller: KqueuePoller) -> None:
    with tcp_pair() as (near, far):
        poller.add(near.fileno(), READ)
        reset(far)
        event = poller.wait(10)
        with pytest.raises(ConnectionResetError):
            near.recv(1)
        poller.forget(near.fileno())
    assert event is not None
    assert event.readiness == Readiness.READABLE | Readiness.HANGUP


def test_n07_n61_close_drops_filters_beside_a_duplicate(queue: ProfiledKqueue, pair: Pair) -> None:
    near = os.dup(pair[0].fileno())
    arm(queue, near)
    os.close(near)
    pair[1].send(b"a")
    assert received(queue) == []


def test_n07_delete_of_a_closed_number(
    profile: Profile, queue: ProfiledKqueue, poller: KqueuePoller
) -> None:
    near, far = socket.socketpair()
    far.close()
    poller.add(near.fileno(), READ)
    number = near.fileno()
    near.close()
    change = Change(number, filters.READ, DELETE)
    assert refusal(queue, change) == profile.delete_of_a_closed_number
    poller.forget(number)


# Pipes without a reader


def test_n09_n62_arming_a_pipe_without_a_reader(
    profile: Profile, queue: ProfiledKqueue, orphan: int
) -> None:
    number = refusal(queue, Change(orphan, filters.WRITE, ONCE))
    assert number == profile.write_without_reader
    assert len(received(queue)) == (number is None)


@pytest.mark.parametrize("interest", [WRITE, BOTH])
def test_n62_mogpoll_reports_a_pipe_without_a_reader_at_every_arming(
    poller: KqueuePoller, orphan: int, interest: Interest
) -> None:
    poller.add(orphan, interest)
    found = [poller.wait(10)]
    poller.rearm(orphan, interest)
    found.append(poller.wait(10))
    poller.forget(orphan)
    # A writing end that is armed for READ, too, may report its end by that.
    assert all(event and event.readiness & Readiness.HANGUP for event in found)
    assert poller.wait(0) is None


@pytest.mark.parametrize("interest", [READ, WRITE, BOTH])
def test_n62_closed_descriptor_is_not_taken_for_a_pipe_without_a_reader(
    poller: KqueuePoller, interest: Interest
) -> None:
    """NetBSD has the same errno for both."""
    reader, writer = os.pipe()
    poller.add(writer, WRITE)
    assert poller.wait(10) is not None
    os.close(reader)
    os.close(writer)
    with pytest.raises(BadDescriptor):
        poller.rearm(writer, interest)
    poller.forget(writer)
    assert poller.wait(0) is None


def test_n62_full_pipe_that_loses_its_reader(profile: Profile, poller: KqueuePoller) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(65536))
    poller.add(writer, WRITE)
    os.close(reader)
    event = poller.wait(0.02)
    # A new registration meets the errno, or the end.
    poller.forget(writer)
    poller.add(writer, WRITE)
    later = poller.wait(10)
    poller.forget(writer)
    os.close(writer)
    assert (event is not None) == profile.full_pipe_reports_its_end
    assert later is not None
    assert later.readiness & Readiness.HANGUP


# The queue


def test_n28_n63_close_beside_a_waiter(profile: Profile) -> None:
    queue = ProfiledKqueue(profile)
    let_go, far = socket.socketpair()
    arm(queue, let_go.fileno())
    waiter = Running(lambda: queue.control(None, 1, None))
    wait_until_asleep([waiter])
    closer = Running(queue.close)
    if profile.close_beside_a_waiter == "wakes":
        with pytest.raises(OSError, match="closed"):
            waiter.result()
        closer.result()
    elif profile.close_beside_a_waiter == "returns":
        closer.result()
        assert not waiter.is_over()
    else:
        closer.thread.join(0.05)
        assert not closer.is_over()
    far.send(b"a")
    if profile.close_beside_a_waiter != "wakes":
        assert len(waiter.result()) == 1
    closer.result()
    let_go.close()
    far.close()
    with pytest.raises(ValueError, match="closed kqueue"):
        queue.control(None, 1, 0)


@pytest.mark.parametrize("interest", [READ, WRITE, BOTH])
def test_n63_mogpoll_refuses_its_own_queue_even_where_the_kernel_does_not(
    poller: KqueuePoller, interest: Interest
) -> None:
    with pytest.raises(NotPollable):
        poller.add(poller.fileno(), interest)
    with pytest.raises(NotRegistered):
        poller.forget(poller.fileno())


@pytest.mark.parametrize("filter_", [filters.READ, filters.WRITE])
def test_n63_queue_that_watches_itself(
    profile: Profile, queue: ProfiledKqueue, filter_: int
) -> None:
    expected = {
        filters.READ: profile.watch_itself_for_read,
        filters.WRITE: profile.watch_itself_for_write,
    }
    assert refusal(queue, Change(queue.fileno(), filter_, ONCE)) == expected[filter_]


def test_n64_level_triggered_data_wakes_every_waiter(queue: ProfiledKqueue, pair: Pair) -> None:
    queue.control([Change(pair[0].fileno(), filters.READ, ADD)], 0)
    waiters = [Running(lambda: queue.control(None, 1, 10)) for _ in range(8)]
    wait_until_asleep(waiters)
    pair[1].send(b"a")
    assert [len(waiter.result()) for waiter in waiters] == [1] * 8


def test_n14_failed_changes_are_rows_among_the_receipts_of_others(
    queue: ProfiledKqueue, pair: Pair
) -> None:
    """And no event is taken by that call."""
    fd = pair[0].fileno()
    changes = [
        Change(fd, filters.WRITE, ONCE | RECEIPT, 0, 0, 1),
        Change(fd, filters.READ, DELETE | RECEIPT, 0, 0, 2),
        Change(fd, filters.READ, ONCE | RECEIPT, 0, 0, 3),
    ]
    rows = queue.control(changes, 3)
    assert {row.flags for row in rows} == {ERROR}
    assert [(row.udata, row.data) for row in rows] == [(1, 0), (2, errno.ENOENT), (3, 0)]
    assert [event.udata for event in received(queue)] == [1]


def test_n14_without_room_the_first_failure_ends_the_call(
    queue: ProfiledKqueue, pair: Pair
) -> None:
    changes = [Change(pair[0].fileno(), filters.READ, DELETE), Change(pair[0].fileno())]
    with pytest.raises(FileNotFoundError):
        queue.control(changes, 0)
    pair[1].send(b"a")
    assert received(queue) == []


def test_n62_one_owner_of_pipes_without_a_reader_among_many_threads(
    poller: KqueuePoller, restless: None
) -> None:
    """Each arming fails in the kernel, and is one event all the same."""
    rounds, writers = 50, []
    for _ in range(4):
        reader, writer = os.pipe()
        os.close(reader)
        writers.append(writer)
    owned: dict[int, object] = {}
    turns = dict.fromkeys(writers, 0)
    left = threading.Semaphore(0)

    def serve() -> None:
        while event := poller.wait(10):
            if event.fd not in turns:
                poller.rearm(event.fd, WRITE)
                return
            claim = object()
            assert owned.setdefault(event.fd, claim) is claim, "two owners"
            turns[event.fd] += 1
            is_last = turns[event.fd] == rounds
            del owned[event.fd]
            if is_last:
                left.release()
            else:
                poller.rearm(event.fd, BOTH if turns[event.fd] % 2 else WRITE)

    for writer in writers:
        poller.add(writer, WRITE)
    servers = [Running(serve) for _ in range(8)]
    for _ in writers:
        assert left.acquire(timeout=20)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as over:
        # Always writable: it is passed on from thread to thread.
        poller.add(over.fileno(), WRITE)
        for server in servers:
            server.result()
        poller.forget(over.fileno())
    for writer in writers:
        poller.forget(writer)
        os.close(writer)
    assert turns == dict.fromkeys(writers, rounds)
