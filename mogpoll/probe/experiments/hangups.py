"""How a peer that has gone shows, half or whole, and what is left to read then."""

from __future__ import annotations

import errno
import os
import select
import socket

from mogpoll.interest import Event, Interest
from mogpoll.poller import backend_name, open_poller
from mogpoll.probe.experiment import Answer, Unavailable, experiment
from mogpoll.probe.kernel import READ, WRITE, Queue, queue
from mogpoll.probe.sockets import fill, reset, stream_pair, tcp_pair
from mogpoll.probe.waiters import PATIENCE_S


def words(kernel: Queue) -> Answer:
    """Return the kernel's words for the next event; "nothing" if there is none."""
    told = kernel.next(0.1)
    return told.words if told else "nothing"


def bits(event: Event | None) -> Answer:
    return [str(bit.name) for bit in event.readiness] if event else "nothing"


def arrive(sock: socket.socket) -> None:
    """Return once the end of the connection has arrived there."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.poll(PATIENCE_S * 1000)


@experiment("half-close-kernel", "kernel: a TCP peer sends no more: told to a reader")
def half_close() -> Answer:
    with queue() as kernel, tcp_pair() as (near, far):
        far.shutdown(socket.SHUT_WR)
        arrive(near)
        kernel.once(near, READ)
        return words(kernel)


@experiment(
    "half-close-with-data-kernel",
    "kernel: a TCP peer sends no more, data is unread: told to a reader",
)
def half_close_behind_data() -> Answer:
    with queue() as kernel, tcp_pair() as (near, far):
        far.send(b"abc")
        arrive(near)
        far.shutdown(socket.SHUT_WR)
        peek_end(near)
        kernel.once(near, READ)
        return words(kernel)


def peek_end(near: socket.socket) -> None:
    """Return once the end is there behind unread data, where the system tells of it apart."""
    poll = select.poll()
    poll.register(near, getattr(select, "POLLRDHUP", select.POLLHUP))
    poll.poll(100)


@experiment(
    "half-close-mogpoll",
    "mogpoll: a TCP peer sends no more: told to a reader",
    relied_on=(["READABLE", "HANGUP"],),
)
def half_close_through_a_poller() -> Answer:
    with tcp_pair() as (near, far):
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ)
        far.shutdown(socket.SHUT_WR)
        return bits(poller.wait(PATIENCE_S))


@experiment(
    "data-before-the-end",
    "mogpoll: the peer sent data and closed: the first two reads",
    relied_on=(["abc", ""],),
)
def data_is_not_lost() -> Answer:
    with tcp_pair() as (near, far):
        far.send(b"abc")
        far.close()
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ)
        pieces = []
        for _ in range(2):
            poller.wait(PATIENCE_S)
            pieces.append(near.recv(100).decode())
            poller.rearm(near.fileno(), Interest.READ)
        return pieces


@experiment(
    "half-close-to-writer-kernel",
    "kernel: a TCP peer sends no more: told to a writer without room",
)
def half_close_to_a_writer() -> Answer:
    with queue() as kernel, tcp_pair() as (near, far):
        fill(near)
        kernel.once(near, WRITE)
        far.shutdown(socket.SHUT_WR)
        arrive(near)
        return words(kernel)


@experiment("close-kernel", "kernel: the peer of a UNIX socket has closed: told to a reader")
def close_of_the_peer() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.once(near, READ)
        far.close()
        return words(kernel)


@experiment(
    "close-to-writer-kernel",
    "kernel: the peer of a UNIX socket has closed: told to a writer without room",
)
def close_of_the_peer_to_a_writer() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        fill(near)
        kernel.once(near, WRITE)
        far.close()
        return words(kernel)


@experiment("reset-kernel", "kernel: a TCP connection was reset: told to a reader")
def reset_by_the_peer() -> Answer:
    with queue() as kernel, tcp_pair() as (near, far):
        reset(far)
        arrive(near)
        kernel.once(near, READ)
        return words(kernel)


@experiment("reset-then-read", "mogpoll: a reset of a TCP connection was told: the next read")
def reading_after_a_reset() -> Answer:
    with tcp_pair() as (near, far):
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ)
        reset(far)
        poller.wait(PATIENCE_S)
        try:
            return "end of file" if not near.recv(1) else "data"
        except OSError as error:
            return errno.errorcode[error.errno or 0]


@experiment(
    "hang-up-after-the-event",
    "kernel: an event was told, then the peer goes: is that told unasked",
    relied_on=(False,),
)
def hang_up_of_what_is_not_armed() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.once(near, WRITE)
        kernel.next()
        far.close()
        return bool(kernel.next(0.05))


@experiment(
    "hang-up-without-interest", "kernel: added without any interest, the peer goes: is that told"
)
def hang_up_without_interest() -> Answer:
    if backend_name() != "epoll":
        raise Unavailable("a kqueue has no registration without a filter")
    with queue() as kernel, stream_pair() as (near, far):
        kernel.once(near)
        far.close()
        return bool(kernel.next(0.05))


@experiment("pipe-writer-gone-kernel", "kernel: a pipe has no writer any more: told to its reader")
def pipe_without_writer() -> Answer:
    with queue() as kernel:
        reader, writer = os.pipe()
        kernel.once(reader, READ)
        os.close(writer)
        return words(kernel)


@experiment(
    "pipe-writer-gone-mogpoll",
    "mogpoll: a pipe has no writer any more: are READABLE and HANGUP told to its reader",
    relied_on=(True,),
)
def pipe_without_writer_through_a_poller() -> Answer:
    reader, writer = os.pipe()
    poller = open_poller()
    poller.add(reader, Interest.READ)
    os.close(writer)
    told = bits(poller.wait(PATIENCE_S))
    return {"READABLE", "HANGUP"} <= set(told)


@experiment("pipe-reader-gone-kernel", "kernel: a pipe has no reader any more: told to its writer")
def pipe_without_reader() -> Answer:
    with queue() as kernel:
        reader, writer = os.pipe()
        os.close(reader)
        kernel.once(writer, WRITE)
        return words(kernel)


@experiment(
    "shutdown-by-another",
    "mogpoll: somebody else shuts an armed socket down: what its reader, being told, reads",
    relied_on=("end of file",),
)
def shutdown_of_an_armed_socket() -> Answer:
    with tcp_pair() as (near, _far):
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ)
        near.shutdown(socket.SHUT_RDWR)
        if poller.wait(PATIENCE_S) is None:
            return "nothing is told"
        return "data" if near.recv(1) else "end of file"
