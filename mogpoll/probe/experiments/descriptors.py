"""What becomes of registrations and queues when descriptors are closed, copied and inherited."""

from __future__ import annotations

import os
import select
import socket

from mogpoll.errors import PollerClosed
from mogpoll.interest import Interest
from mogpoll.poller import open_poller
from mogpoll.probe.experiment import Answer, Unavailable, experiment
from mogpoll.probe.experiments.one_shot import outcome_of
from mogpoll.probe.kernel import READ, all_told, queue
from mogpoll.probe.sockets import reset, stream_pair, tcp_pair
from mogpoll.probe.waiters import in_child


def is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


@experiment(
    "close-drops",
    "kernel: an armed descriptor with data is closed: is the data told",
    relied_on=(False,),
)
def close_of_what_is_armed() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.once(near, READ)
        far.send(b"a")
        near.close()
        return bool(kernel.next())


@experiment(
    "dup-keeps-telling",
    "kernel: an armed descriptor with data and a duplicate is closed: is the data told",
)
def close_of_what_has_a_duplicate() -> Answer:
    with queue() as kernel, stream_pair() as (near, far), near.dup():
        kernel.once(near, READ)
        far.send(b"a")
        near.close()
        return bool(kernel.next())


@experiment(
    "number-reused",
    "kernel: the number of an armed descriptor goes to another socket: is its data told",
)
def number_of_another() -> Answer:
    with queue() as kernel, stream_pair() as (near, _), stream_pair() as (other, far):
        kernel.once(near, READ)
        os.dup2(other.fileno(), near.fileno())
        other.close()
        far.send(b"a")
        return bool(kernel.next())


@experiment(
    "queue-pollable",
    "kernel: is the queue's own descriptor readable before, during and after an event",
    relied_on=([False, True, False],),
)
def readability_of_the_queue() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.once(near, READ)
        seen = [is_readable(kernel.fileno())]
        far.send(b"a")
        seen.append(is_readable(kernel.fileno()))
        all_told(kernel)
        return [*seen, is_readable(kernel.fileno())]


@experiment("queue-close-on-exec", "kernel: is the queue passed on by exec", relied_on=(False,))
def queue_and_exec() -> Answer:
    with queue() as kernel:
        return os.get_inheritable(kernel.fileno())


@experiment("queue-after-fork", "kernel: the queue's descriptor in a forked child")
def queue_and_fork() -> Answer:
    with queue() as kernel:
        number = kernel.fileno()

        def ask() -> str:
            try:
                os.fstat(number)
            except OSError:
                return "closed"
            return "open"

        return in_child(ask)


@experiment(
    "poller-after-fork",
    "mogpoll: a wait in a forked child, and whether the parent still gets its event",
    relied_on=(["PollerClosed", True],),
)
def poller_and_fork() -> Answer:
    with stream_pair() as (near, far):
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ)
        far.send(b"a")

        def ask() -> str:
            try:
                poller.wait(0)
            except PollerClosed:
                return "PollerClosed"
            return "usable"

        return [in_child(ask), bool(poller.wait(0))]


@experiment("eventfd", "kernel: adding an eventfd")
def eventfd() -> Answer:
    if not hasattr(os, "eventfd"):
        raise Unavailable("there is no os.eventfd")
    with queue() as kernel:
        fd = os.eventfd(0, os.EFD_NONBLOCK)
        return outcome_of(lambda: kernel.once(fd, READ))


@experiment("close-after-reset", "closing a socket that the peer has reset, by os.close")
def close_of_what_was_reset() -> Answer:
    with tcp_pair() as (near, far):
        near.send(b"unread")
        reset(far)
        return outcome_of(lambda: os.close(near.detach()), "no error")


@experiment("listener-kernel", "kernel: a customer of a listener: told to its reader")
def listener_in_the_queue() -> Answer:
    with queue() as kernel, socket.create_server(("127.0.0.1", 0)) as listening:
        kernel.once(listening, READ)
        with socket.create_connection(listening.getsockname(), 5.0):
            told = kernel.next(1.0)
            return told is not None and told.words
