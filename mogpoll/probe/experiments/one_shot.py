"""One-shot registrations, and how the kernel answers wrong calls."""

from __future__ import annotations

import os
import select
import tempfile
from collections.abc import Callable

from mogpoll.backends import backend_name, open_poller
from mogpoll.errors import PollError
from mogpoll.interest import Interest
from mogpoll.probe.experiment import Answer, Unavailable, experiment, name_of_errno
from mogpoll.probe.kernel import READ, WRITE, queue, take_all
from mogpoll.probe.sockets import drain, fill, stream_pair


def outcome_of(call: Callable[[], object], success: str = "accepted") -> str:
    """Return `success`, or the name of the error raised."""
    try:
        call()
    except PollError as error:
        return type(error).__name__
    except OSError as error:
        return name_of_errno(error.errno)
    return success


@experiment(
    "one-shot-kernel",
    "kernel: events of one arming while data arrives twice, then of a second arming",
    relied_on=([1, 1],),
)
def events_of_an_arming() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.add(near, READ)
        far.send(b"a")
        first = len(take_all(kernel))
        far.send(b"b")
        first += len(take_all(kernel))
        kernel.rearm(near, READ)
        return [first, len(take_all(kernel))]


@experiment(
    "both-directions-kernel", "kernel: events of one READ and WRITE arming with both ready"
)
def both_directions_of_the_kernel() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        far.send(b"a")
        kernel.add(near, READ, WRITE)
        return len(take_all(kernel))


@experiment(
    "both-directions-mogpoll",
    "mogpoll: events of one READ_WRITE arming with both ready",
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
    "kernel: armed for both, WRITE delivered, then data arrives: is READ delivered",
)
def other_direction_of_the_kernel() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.add(near, READ, WRITE)
        kernel.wait()
        far.send(b"a")
        return bool(kernel.wait())


@experiment(
    "other-direction-later-mogpoll",
    "mogpoll: armed for both, WRITE delivered, then data arrives: is READ delivered",
    relied_on=(False,),
)
def other_direction_of_a_poller() -> Answer:
    with stream_pair() as (near, far):
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ_WRITE)
        poller.wait(0)
        far.send(b"a")
        return bool(poller.wait(0))


@experiment(
    "stale-event", "kernel: data is drained before its event is received: is the event delivered"
)
def event_of_what_is_gone() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.add(near, READ)
        far.send(b"a")
        drain(near)
        return bool(kernel.wait())


@experiment("rearm-replaces", "kernel: armed for READ, re-armed for WRITE only: is data reported")
def replaced_direction() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        fill(near)
        kernel.add(near, READ)
        kernel.rearm(near, WRITE)
        far.send(b"a")
        return bool(kernel.wait())


@experiment("add-twice-kernel", "kernel: adding a registered descriptor")
def add_twice_to_the_kernel() -> Answer:
    with queue() as kernel, stream_pair() as (near, _far):
        kernel.add(near, READ)
        return outcome_of(lambda: kernel.add(near, READ))


@experiment(
    "add-twice-mogpoll",
    "mogpoll: adding a registered descriptor",
    relied_on=("AlreadyRegistered",),
)
def add_twice_to_a_poller() -> Answer:
    with stream_pair() as (near, _far):
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ)
        return outcome_of(lambda: poller.add(near.fileno(), Interest.READ))


@experiment("rearm-unknown-kernel", "kernel: re-arming an unregistered descriptor")
def rearm_unknown_to_the_kernel() -> Answer:
    with queue() as kernel, stream_pair() as (near, _far):
        return outcome_of(lambda: kernel.rearm(near, READ))


@experiment(
    "rearm-unknown-mogpoll",
    "mogpoll: re-arming an unregistered descriptor",
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
        return outcome_of(lambda: kernel.add(file, READ))


@experiment("regular-file-mogpoll", "mogpoll: adding a regular file", relied_on=("NotPollable",))
def regular_file_to_a_poller() -> Answer:
    with tempfile.TemporaryFile() as file:
        return outcome_of(lambda: open_poller().add(file.fileno(), Interest.READ))


@experiment("one-shot-exclusive-kernel", "kernel: adding with EPOLLONESHOT and EPOLLEXCLUSIVE")
def exclusive_one_shot() -> Answer:
    if not hasattr(select, "EPOLLEXCLUSIVE") or backend_name() != "epoll":
        raise Unavailable("there is no EPOLLEXCLUSIVE")
    flags = select.EPOLLIN | select.EPOLLONESHOT | select.EPOLLEXCLUSIVE
    with select.epoll() as kernel, stream_pair() as (near, _far):
        return outcome_of(lambda: kernel.register(near, flags))


@experiment("null-device-kernel", "kernel: adding /dev/null")
def null_device() -> Answer:
    with queue() as kernel, open(os.devnull, "rb") as null:
        return outcome_of(lambda: kernel.add(null, READ))


@experiment("terminal-kernel", "kernel: adding a terminal")
def terminal() -> Answer:
    with queue() as kernel:
        _master, terminal_fd = os.openpty()
        return outcome_of(lambda: kernel.add(terminal_fd, READ))


@experiment(
    "queue-order",
    "kernel: three descriptors become ready in turn: are events delivered in that order",
)
def order_of_events() -> Answer:
    with queue() as kernel, stream_pair() as one, stream_pair() as two, stream_pair() as three:
        pairs = [two, three, one]
        for near, _far in (one, two, three):
            kernel.add(near, READ)
        for _near, far in pairs:
            far.send(b"a")
        return [event.fd for event in take_all(kernel)] == [near.fileno() for near, _ in pairs]


@experiment(
    "rearmed-goes-last",
    "kernel: two are ready, the first is received and re-armed: does the second come next",
    relied_on=(True,),
)
def place_of_what_is_rearmed() -> Answer:
    with queue() as kernel, stream_pair() as one, stream_pair() as two:
        for near, far in (one, two):
            kernel.add(near, READ)
            far.send(b"a")
        first = kernel.wait()
        assert first is not None
        kernel.rearm(first.fd, READ)
        second = kernel.wait()
        return second is not None and second.fd != first.fd
