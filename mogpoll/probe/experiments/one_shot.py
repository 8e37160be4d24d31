"""What a one-shot registration is, and what the kernel does when it is used wrongly."""

from __future__ import annotations

import errno
import os
import select
import tempfile
from collections.abc import Callable

from mogpoll.errors import PollError
from mogpoll.interest import Interest
from mogpoll.poller import backend_name, open_poller
from mogpoll.probe.experiment import Answer, Unavailable, experiment
from mogpoll.probe.kernel import READ, WRITE, all_told, queue
from mogpoll.probe.sockets import drain, fill, stream_pair


def outcome_of(call: Callable[[], object], success: str = "accepted") -> str:
    """Return `success`, or the name of what was raised."""
    try:
        call()
    except PollError as error:
        return type(error).__name__
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return success


@experiment(
    "one-shot-kernel",
    "kernel: events of a first arming while data comes twice, and of a second arming",
    relied_on=([1, 1],),
)
def events_of_an_arming() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.once(near, READ)
        far.send(b"a")
        first = len(all_told(kernel))
        far.send(b"b")
        first += len(all_told(kernel))
        kernel.again(near, READ)
        return [first, len(all_told(kernel))]


@experiment(
    "both-directions-kernel", "kernel: events of one arming for READ and WRITE when both are ready"
)
def both_directions_of_the_kernel() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        far.send(b"a")
        kernel.once(near, READ, WRITE)
        return len(all_told(kernel))


@experiment(
    "both-directions-mogpoll",
    "mogpoll: events of one arming for READ_WRITE when both are ready",
    relied_on=(1,),
)
def both_directions_of_a_poller() -> Answer:
    with stream_pair() as (near, far):
        far.send(b"a")
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ_WRITE)
        return sum(1 for _ in iter(lambda: poller.wait(0), None))


@experiment(
    "other-direction-later-kernel",
    "kernel: armed for both, WRITE was told, then data comes: is READ told too",
)
def other_direction_of_the_kernel() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.once(near, READ, WRITE)
        kernel.next()
        far.send(b"a")
        return bool(kernel.next())


@experiment(
    "other-direction-later-mogpoll",
    "mogpoll: armed for both, WRITE was told, then data comes: is READ told too",
    relied_on=(False,),
)
def other_direction_of_a_poller() -> Answer:
    with stream_pair() as (near, far):
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ_WRITE)
        poller.wait(0)
        far.send(b"a")
        return bool(poller.wait(0))


@experiment("stale-event", "kernel: data is taken away before its event is received: is it told")
def event_of_what_is_gone() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.once(near, READ)
        far.send(b"a")
        drain(near)
        return bool(kernel.next())


@experiment("rearm-replaces", "kernel: armed for READ, then for WRITE instead: is data told")
def replaced_direction() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        fill(near)
        kernel.once(near, READ)
        kernel.again(near, WRITE)
        far.send(b"a")
        return bool(kernel.next())


@experiment("add-twice-kernel", "kernel: adding what was added")
def add_twice_to_the_kernel() -> Answer:
    with queue() as kernel, stream_pair() as (near, _far):
        kernel.once(near, READ)
        return outcome_of(lambda: kernel.once(near, READ))


@experiment(
    "add-twice-mogpoll", "mogpoll: adding what was added", relied_on=("AlreadyRegistered",)
)
def add_twice_to_a_poller() -> Answer:
    with stream_pair() as (near, _far):
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ)
        return outcome_of(lambda: poller.add(near.fileno(), Interest.READ))


@experiment("rearm-unknown-kernel", "kernel: arming again what was never added")
def rearm_unknown_to_the_kernel() -> Answer:
    with queue() as kernel, stream_pair() as (near, _far):
        return outcome_of(lambda: kernel.again(near, READ))


@experiment(
    "rearm-unknown-mogpoll",
    "mogpoll: arming again what was never added",
    relied_on=("NotRegistered",),
)
def rearm_unknown_to_a_poller() -> Answer:
    with stream_pair() as (near, _far):
        poller = open_poller()
        return outcome_of(lambda: poller.rearm(near.fileno(), Interest.READ))


@experiment("regular-file-kernel", "kernel: adding a regular file")
def regular_file_to_the_kernel() -> Answer:
    with queue() as kernel, tempfile.TemporaryFile() as file:
        file.write(b"abc")
        file.flush()
        return outcome_of(lambda: kernel.once(file, READ))


@experiment("regular-file-mogpoll", "mogpoll: adding a regular file", relied_on=("NotPollable",))
def regular_file_to_a_poller() -> Answer:
    with tempfile.TemporaryFile() as file:
        return outcome_of(lambda: open_poller().add(file.fileno(), Interest.READ))


@experiment("one-shot-exclusive-kernel", "kernel: adding one-shot and exclusive at once")
def exclusive_one_shot() -> Answer:
    if not hasattr(select, "EPOLLEXCLUSIVE") or backend_name() != "epoll":
        raise Unavailable("there is no EPOLLEXCLUSIVE")
    flags = select.EPOLLIN | select.EPOLLONESHOT | select.EPOLLEXCLUSIVE
    with select.epoll() as kernel, stream_pair() as (near, _far):
        return outcome_of(lambda: kernel.register(near, flags))


@experiment("null-device-kernel", "kernel: adding /dev/null")
def null_device() -> Answer:
    with queue() as kernel, open(os.devnull, "rb") as null:
        return outcome_of(lambda: kernel.once(null, READ))


@experiment("terminal-kernel", "kernel: adding a terminal")
def terminal() -> Answer:
    with queue() as kernel:
        _master, terminal_fd = os.openpty()
        return outcome_of(lambda: kernel.once(terminal_fd, READ))


@experiment(
    "queue-order", "kernel: three become ready one after the other: are they told in that order"
)
def order_of_events() -> Answer:
    with queue() as kernel, stream_pair() as one, stream_pair() as two, stream_pair() as three:
        pairs = [two, three, one]
        for near, _far in (one, two, three):
            kernel.once(near, READ)
        for _near, far in pairs:
            far.send(b"a")
        return [told.fd for told in all_told(kernel)] == [near.fileno() for near, _ in pairs]


@experiment(
    "rearmed-goes-last",
    "kernel: two are ready, the first is told and armed again: is the second told next",
    relied_on=(True,),
)
def place_of_what_is_rearmed() -> Answer:
    with queue() as kernel, stream_pair() as one, stream_pair() as two:
        for near, far in (one, two):
            kernel.once(near, READ)
            far.send(b"a")
        first = kernel.next()
        assert first is not None
        kernel.again(first.fd, READ)
        second = kernel.next()
        return second is not None and second.fd != first.fd
