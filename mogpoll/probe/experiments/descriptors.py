"""Registrations and queues when descriptors are closed, duplicated and inherited."""

from __future__ import annotations

import os
import select
import socket

from mogpoll.backends import open_poller
from mogpoll.errors import PollerClosed
from mogpoll.interest import Interest
from mogpoll.probe.experiment import Answer, Unavailable, experiment
from mogpoll.probe.experiments.one_shot import outcome_of
from mogpoll.probe.kernel import READ, queue, take_all
from mogpoll.probe.sockets import reset, stream_pair, tcp_pair
from mogpoll.probe.waiters import in_child


def is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


@experiment(
    "close-drops",
    "kernel: closed with data while armed: is the event delivered",
    relied_on=(False,),
)
def close_of_what_is_armed() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.add(near, READ)
        far.send(b"a")
        near.close()
        return bool(kernel.wait())


@experiment(
    "dup-keeps-telling",
    "kernel: closed with data while armed, a duplicate still open: is the event delivered",
)
def close_of_what_has_a_duplicate() -> Answer:
    with queue() as kernel, stream_pair() as (near, far), near.dup():
        kernel.add(near, READ)
        far.send(b"a")
        near.close()
        return bool(kernel.wait())


@experiment(
    "number-reused",
    "kernel: an armed descriptor's number is reused: is the new file's data reported",
)
def number_of_another() -> Answer:
    with queue() as kernel, stream_pair() as (near, _), stream_pair() as (other, far):
        kernel.add(near, READ)
        os.dup2(other.fileno(), near.fileno())
        other.close()
        far.send(b"a")
        return bool(kernel.wait())


@experiment(
    "queue-pollable",
    "kernel: is the queue's descriptor readable before, during and after an event",
    relied_on=([False, True, False],),
)
def readability_of_the_queue() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.add(near, READ)
        seen = [is_readable(kernel.fileno())]
        far.send(b"a")
        seen.append(is_readable(kernel.fileno()))
        take_all(kernel)
        return [*seen, is_readable(kernel.fileno())]


@experiment(
    "queue-close-on-exec", "kernel: does the queue's descriptor survive exec", relied_on=(False,)
)
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
        return outcome_of(lambda: kernel.add(fd, READ))


@experiment("close-after-reset", "os.close of a socket that the peer reset")
def close_of_what_was_reset() -> Answer:
    with tcp_pair() as (near, far):
        near.send(b"unread")
        reset(far)
        return outcome_of(lambda: os.close(near.detach()), "no error")


@experiment("listener-kernel", "kernel: listener with a pending connection, reported to a reader")
def listener_in_the_queue() -> Answer:
    with queue() as kernel, socket.create_server(("127.0.0.1", 0)) as listening:
        kernel.add(listening, READ)
        with socket.create_connection(listening.getsockname(), 5.0):
            event = kernel.wait(1.0)
            return event is not None and event.words
