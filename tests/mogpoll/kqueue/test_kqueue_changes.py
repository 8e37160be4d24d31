"""The changes that the kqueue backend makes, and how it handles events and errors.

Possible orders of events and changes are played one by one, without threads.
"""

from __future__ import annotations

import errno
import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from mogpoll import (
    BadDescriptor,
    Event,
    Interest,
    KqueuePoller,
    NotPollable,
    NotRegistered,
    PollerClosed,
    Readiness,
)
from tests.mogpoll.kqueue import scripted_kqueue
from tests.mogpoll.kqueue.scripted_kqueue import ScriptedKernel
from tests.support.sockets import stream_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

READ, WRITE, BOTH = Interest.READ, Interest.WRITE, Interest.READ_WRITE


@pytest.fixture
def kernel() -> ScriptedKernel:
    return ScriptedKernel()


@pytest.fixture
def poller(kernel: ScriptedKernel) -> KqueuePoller:
    return KqueuePoller(kernel)


@pytest.fixture
def fd() -> Iterator[int]:
    with stream_pair() as (near, _):
        yield near.fileno()


def test_n13_n14_no_call_changes_and_waits_and_each_changes_one_thing(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int
) -> None:
    poller.add(fd, BOTH)
    for interest in (READ, WRITE, BOTH):
        poller.rearm(fd, interest)
        poller.wait(0)
    poller.wait(0)
    poller.forget(fd)
    assert all(not (changes and room) for changes, room in kernel.calls)
    assert {len(changes) for changes, _ in kernel.calls} == {0, 1}


def test_n11_wait_asks_for_one_event(kernel: ScriptedKernel, poller: KqueuePoller) -> None:
    poller.wait(0)
    assert kernel.calls == [([], 1)]


@pytest.mark.parametrize(
    ("interest", "filters"),
    [
        (READ, [scripted_kqueue.READ]),
        (WRITE, [scripted_kqueue.WRITE]),
        (BOTH, [scripted_kqueue.READ, scripted_kqueue.WRITE]),
    ],
)
def test_n01_every_direction_is_a_one_shot_of_the_same_arming(
    kernel: ScriptedKernel,
    poller: KqueuePoller,
    fd: int,
    interest: Interest,
    filters: list[int],
) -> None:
    poller.add(fd, interest)
    armings = kernel.armings()
    assert [arming.filter for arming in armings] == filters
    assert {arming.flags for arming in armings} == {kernel.KQ_EV_ADD | kernel.KQ_EV_ONESHOT}
    assert len({arming.udata for arming in armings}) == 1


def test_one_direction_costs_one_call(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int
) -> None:
    poller.add(fd, READ)
    kernel.calls.clear()
    poller.rearm(fd, WRITE)
    assert len(kernel.calls) == 1


def test_serials_are_never_used_twice(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int
) -> None:
    for _ in range(10):
        poller.add(fd, READ)
        poller.rearm(fd, READ)
        poller.forget(fd)
    serials = [arming.udata for arming in kernel.armings()]
    assert len(serials) == len(set(serials)) == 20


@pytest.mark.parametrize("first", [0, 1])
def test_n01_second_event_of_an_arming_is_dropped(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int, first: int
) -> None:
    poller.add(fd, BOTH)
    twins = kernel.armings()
    kernel.deliver(twins[first])
    kernel.deliver(twins[1 - first])
    event = poller.wait(0)
    assert event is not None
    assert (event.fd, poller.wait(0), kernel.queue) == (fd, None, [])


def test_twin_that_comes_after_the_next_arming_is_dropped(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int
) -> None:
    poller.add(fd, BOTH)
    read, write = kernel.armings()
    kernel.deliver(read)
    poller.wait(0)
    poller.rearm(fd, READ)
    kernel.deliver(write)
    assert poller.wait(0) is None
    kernel.deliver(kernel.armings()[-1])
    assert poller.wait(0) == Event(fd, Readiness.READABLE)


def test_event_read_before_a_forget_is_dropped_after_it(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int
) -> None:
    """Also for the next file with that number, which has its own arming."""
    poller.add(fd, READ)
    kernel.deliver(kernel.armings()[0])
    poller.forget(fd)
    poller.add(fd, READ)
    assert poller.wait(0) is None
    kernel.deliver(kernel.armings()[-1])
    assert poller.wait(0) == Event(fd, Readiness.READABLE)


def test_event_of_an_arming_that_was_replaced_is_dropped(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int
) -> None:
    poller.add(fd, READ)
    poller.rearm(fd, WRITE)
    kernel.deliver(kernel.armings()[0])
    assert poller.wait(0) is None


class FiringKernel(ScriptedKernel):
    """Delivers the first of two filters at once, and runs its owner before the second."""

    def __init__(self) -> None:
        super().__init__()
        self.poller: KqueuePoller
        self.lock_was_free: list[bool] = []

    def control(
        self,
        changes: list[scripted_kqueue.Change] | None,
        room: int,
        timeout: float | None = None,
    ) -> list[scripted_kqueue.Change]:
        if changes and changes[0].flags & self.KQ_EV_ADD:
            self.lock_was_free.append(not self.poller._lock.locked())
        return super().control(changes, room, timeout)


@pytest.mark.parametrize(
    ("before", "after", "free"),
    [
        (READ, READ, [True]),
        (READ, BOTH, [False, False]),
        (BOTH, READ, [False]),
        (BOTH, BOTH, [False, False]),
    ],
)
def test_n10_new_owner_cannot_act_between_two_filters(
    fd: int, before: Interest, after: Interest, free: list[bool]
) -> None:
    """The first filter may fire, and its owner re-arm, before the second is set."""
    kernel = FiringKernel()
    kernel.poller = poller = KqueuePoller(kernel)
    poller.add(fd, before)
    kernel.lock_was_free.clear()
    poller.rearm(fd, after)
    assert kernel.lock_was_free == free


@pytest.mark.parametrize(
    ("filter_", "flags", "readiness"),
    [
        (scripted_kqueue.READ, 0, Readiness.READABLE),
        (scripted_kqueue.WRITE, 0, Readiness.WRITABLE),
        (scripted_kqueue.READ, ScriptedKernel.KQ_EV_EOF, Readiness.READABLE | Readiness.HANGUP),
        (scripted_kqueue.WRITE, ScriptedKernel.KQ_EV_EOF, Readiness.WRITABLE | Readiness.HANGUP),
        (scripted_kqueue.READ, ScriptedKernel.KQ_EV_ERROR, Readiness.READABLE | Readiness.HANGUP),
    ],
)
def test_n04_n05_meaning_of_an_event(
    kernel: ScriptedKernel,
    poller: KqueuePoller,
    fd: int,
    filter_: int,
    flags: int,
    readiness: Readiness,
) -> None:
    poller.add(fd, BOTH)
    (arming,) = [arming for arming in kernel.armings() if arming.filter == filter_]
    kernel.deliver(arming, flags)
    assert poller.wait(0) == Event(fd, readiness)


def test_n09_pipe_that_lost_its_reader_can_be_armed(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int
) -> None:
    kernel.refusals = [errno.EPIPE]
    poller.add(fd, WRITE)
    poller.forget(fd)


@pytest.mark.parametrize("interest", [WRITE, BOTH])
def test_n09_pipe_that_lost_its_reader_is_reported_by_a_timer(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int, interest: Interest
) -> None:
    kernel.refusals = [errno.EPIPE] if interest is WRITE else [None, errno.EPIPE]
    poller.add(fd, interest)
    (timer,), room = kernel.calls[-1]
    # Without a unit among its flags, it counts milliseconds.
    flags = ScriptedKernel.KQ_EV_ADD | ScriptedKernel.KQ_EV_ONESHOT
    assert timer[:5] == (fd, scripted_kqueue.TIMER, flags, 0, 1)
    assert room == 0, "no event is taken by one that arms"
    kernel.deliver(timer)
    assert poller.wait(0) == (fd, Readiness.WRITABLE | Readiness.HANGUP)
    assert poller.wait(0) is None


def test_n09_timer_of_a_forgotten_pipe_is_dropped(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int
) -> None:
    kernel.refusals = [errno.EPIPE]
    poller.add(fd, WRITE)
    timer = kernel.armings()[-1]
    poller.forget(fd)
    kernel.deliver(timer)
    assert poller.wait(0) is None


@pytest.mark.parametrize("numbers", [(errno.ENOENT, errno.ENOENT), (errno.EBADF, None)])
def test_n07_forget_does_not_mind_filters_that_are_gone(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int, numbers: tuple[int, int | None]
) -> None:
    poller.add(fd, READ)
    kernel.refusals = list(numbers)
    poller.forget(fd)
    deleted = [changes[0].filter for changes, _ in kernel.calls[1:]]
    assert sorted(deleted) == sorted([scripted_kqueue.READ, scripted_kqueue.WRITE])


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EBADF, BadDescriptor), (errno.EINVAL, NotPollable), (errno.ENOMEM, OSError)],
)
def test_failed_add_leaves_no_trace(
    kernel: ScriptedKernel,
    poller: KqueuePoller,
    fd: int,
    number: int,
    kind: type[OSError],
    position: int,
) -> None:
    kernel.refusals = [None] * position + [number]
    with pytest.raises(kind) as caught:
        poller.add(fd, BOTH)
    assert type(caught.value) is kind
    with pytest.raises(NotRegistered):
        poller.forget(fd)
    for arming in kernel.armings():
        kernel.deliver(arming)
    assert poller.wait(0) is None


def test_unknown_error_of_a_delete_is_not_hidden(
    kernel: ScriptedKernel, poller: KqueuePoller, fd: int
) -> None:
    poller.add(fd, READ)
    kernel.refusals = [errno.ENOMEM]
    with pytest.raises(OSError, match=r"\[Errno"):
        poller.forget(fd)


def test_n17_disowned_queue_is_neither_closed_nor_destroyed(kernel: ScriptedKernel) -> None:
    """In a child the number may belong to another file, which a destructor would close."""
    poller = KqueuePoller(kernel)
    queue = weakref.ref(kernel)
    poller.disown()
    poller.close()
    was_closed = kernel.closed
    del kernel, poller
    gc.collect()
    assert not was_closed
    assert queue() is not None


def test_n17_locks_that_a_thread_of_the_parent_held_are_free_in_the_child(
    poller: KqueuePoller, fd: int
) -> None:
    with poller._lock, poller._holds_lock:
        poller.disown()
        poller.hold()
        poller.release()
        with pytest.raises(PollerClosed):
            poller.rearm(fd, READ)


class FullOnce(dict[int, int]):
    """A table for whose next entry there is no memory."""

    def __init__(self) -> None:
        self.is_full = True

    def __setitem__(self, key: int, value: int) -> None:
        if self.is_full:
            self.is_full = False
            raise MemoryError
        super().__setitem__(key, value)


@pytest.mark.parametrize("table", ["_registered", "_armed"])
def test_descriptor_for_which_there_was_no_memory_can_be_added_later(
    monkeypatch: pytest.MonkeyPatch, poller: KqueuePoller, fd: int, table: str
) -> None:
    monkeypatch.setattr(poller, table, FullOnce())
    with pytest.raises(MemoryError):
        poller.add(fd, READ)
    poller.add(fd, READ)
    poller.forget(fd)
