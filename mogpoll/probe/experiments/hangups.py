"""How closed and half-closed peers are reported, and what can still be read."""

from __future__ import annotations

import os
import select
import socket

from mogpoll.backends import backend_name, open_poller
from mogpoll.interest import Event, Interest
from mogpoll.probe.experiment import Answer, Unavailable, experiment, name_of_errno
from mogpoll.probe.kernel import READ, WRITE, Queue, queue
from mogpoll.probe.sockets import fill, fill_for_good, reset, stream_pair, tcp_pair
from mogpoll.probe.waiters import PATIENCE_S


def words(kernel: Queue) -> Answer:
    """Return the flags of the next event, or "nothing"."""
    event = kernel.wait(0.1)
    return event.words if event else "nothing"


def bits(event: Event | None) -> Answer:
    return [str(bit.name) for bit in event.readiness] if event else "nothing"


def arrive(sock: socket.socket) -> None:
    """Wait until data or the end of the connection has arrived."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.poll(PATIENCE_S * 1000)


@experiment("half-close-kernel", "kernel: half-closed TCP peer, reported to a reader")
def half_close() -> Answer:
    with queue() as kernel, tcp_pair() as (near, far):
        far.shutdown(socket.SHUT_WR)
        arrive(near)
        kernel.add(near, READ)
        return words(kernel)


@experiment(
    "half-close-with-data-kernel",
    "kernel: half-closed TCP peer behind unread data, reported to a reader",
)
def half_close_behind_data() -> Answer:
    with queue() as kernel, tcp_pair() as (near, far):
        far.send(b"abc")
        arrive(near)
        far.shutdown(socket.SHUT_WR)
        peek_end(near)
        kernel.add(near, READ)
        return words(kernel)


def peek_end(near: socket.socket) -> None:
    """Wait until the end has arrived behind unread data, if the system reports that."""
    poll = select.poll()
    poll.register(near, getattr(select, "POLLRDHUP", select.POLLHUP))
    poll.poll(100)


@experiment(
    "half-close-mogpoll",
    "mogpoll: half-closed TCP peer, reported to a reader",
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
    "mogpoll: the peer sends and closes: the first two reads",
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
    "kernel: half-closed TCP peer, reported to a writer with a full buffer",
)
def half_close_to_a_writer() -> Answer:
    with queue() as kernel, tcp_pair() as (near, far):
        fill_for_good(near)
        kernel.add(near, WRITE)
        far.shutdown(socket.SHUT_WR)
        arrive(near)
        return words(kernel)


@experiment("close-kernel", "kernel: closed UNIX socket peer, reported to a reader")
def close_of_the_peer() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.add(near, READ)
        far.close()
        return words(kernel)


@experiment(
    "close-to-writer-kernel",
    "kernel: closed UNIX socket peer, reported to a writer with a full buffer",
)
def close_of_the_peer_to_a_writer() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        fill(near)
        kernel.add(near, WRITE)
        far.close()
        return words(kernel)


@experiment("reset-kernel", "kernel: reset TCP connection, reported to a reader")
def reset_by_the_peer() -> Answer:
    with queue() as kernel, tcp_pair() as (near, far):
        reset(far)
        arrive(near)
        kernel.add(near, READ)
        return words(kernel)


@experiment("reset-then-read", "mogpoll: the read after a reported reset")
def reading_after_a_reset() -> Answer:
    with tcp_pair() as (near, far):
        poller = open_poller()
        poller.add(near.fileno(), Interest.READ)
        reset(far)
        poller.wait(PATIENCE_S)
        try:
            return "end of file" if not near.recv(1) else "data"
        except OSError as error:
            return name_of_errno(error.errno)


@experiment(
    "hang-up-after-the-event",
    "kernel: the peer closes after a one-shot event: is an event delivered unarmed",
    relied_on=(False,),
)
def hang_up_of_what_is_not_armed() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.add(near, WRITE)
        kernel.wait()
        far.close()
        return bool(kernel.wait(0.05))


@experiment(
    "hang-up-without-interest",
    "kernel: added with an empty mask, the peer closes: is an event delivered",
)
def hang_up_without_interest() -> Answer:
    if backend_name() != "epoll":
        raise Unavailable("a kqueue has no registration without a filter")
    with queue() as kernel, stream_pair() as (near, far):
        kernel.add(near)
        far.close()
        return bool(kernel.wait(0.05))


@experiment("pipe-writer-gone-kernel", "kernel: pipe whose writer closed, reported to the reader")
def pipe_without_writer() -> Answer:
    with queue() as kernel:
        reader, writer = os.pipe()
        kernel.add(reader, READ)
        os.close(writer)
        return words(kernel)


@experiment(
    "pipe-writer-gone-mogpoll",
    "mogpoll: pipe whose writer closed: does the reader get READABLE and HANGUP",
    relied_on=(True,),
)
def pipe_without_writer_through_a_poller() -> Answer:
    reader, writer = os.pipe()
    poller = open_poller()
    poller.add(reader, Interest.READ)
    os.close(writer)
    seen = bits(poller.wait(PATIENCE_S))
    return {"READABLE", "HANGUP"} <= set(seen)


@experiment("pipe-reader-gone-kernel", "kernel: pipe whose reader closed, reported to the writer")
def pipe_without_reader() -> Answer:
    with queue() as kernel:
        reader, writer = os.pipe()
        os.close(reader)
        kernel.add(writer, WRITE)
        return words(kernel)


@experiment(
    "shutdown-by-another",
    "mogpoll: another thread shuts an armed socket down: what its reader reads",
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
