"""Sending files and small pieces, and what the system knows of a connection and a disk."""

from __future__ import annotations

import errno
import os
import select
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from mogpoll.probe.experiment import Answer, Finding, Unavailable, experiment
from mogpoll.probe.sockets import drain, fill, tcp_pair
from mogpoll.probe.waiters import PATIENCE_S
from mogpoll.system.sendfile import sendfile
from mogpoll.system.tcpinfo import last_data_received_ms


@contextmanager
def file_of(size: int) -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        yield file.fileno()


def send(connection: socket.socket, fd: int, offset: int, count: int) -> Answer:
    """Return the number of bytes sent by os.sendfile, or the name of its error."""
    if not hasattr(os, "sendfile"):
        raise Unavailable("there is no os.sendfile")
    try:
        return os.sendfile(connection.fileno(), fd, offset, count)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


@experiment("sendfile-count-0", "sendfile with count 0 of a 1000 byte file: bytes sent")
def count_of_zero() -> Answer:
    with tcp_pair() as (near, _far), file_of(1000) as fd:
        return send(near, fd, 0, 0)


@experiment(
    "sendfile-short-file",
    "sendfile with count 5000 of a 1000 byte file: bytes sent",
    relied_on=(1000,),
)
def file_that_is_short() -> Answer:
    with tcp_pair() as (near, _far), file_of(1000) as fd:
        return send(near, fd, 0, 5000)


@experiment("sendfile-at-the-end", "sendfile from the end of a file: bytes sent", relied_on=(0,))
def offset_at_the_end() -> Answer:
    with tcp_pair() as (near, _far), file_of(1000) as fd:
        return send(near, fd, 1000, 5000)


@experiment(
    "sendfile-partial",
    "sendfile of 64 MiB to a peer that does not read: first call, and last",
    relied_on=(["a part", "EAGAIN"],),
)
def socket_that_takes_a_part() -> Answer:
    size = 64 * 1024 * 1024
    with tcp_pair() as (near, _far), file_of(size) as fd:
        first = offset = send(near, fd, 0, size)
        while isinstance(offset, int) and offset < size:
            sent = send(near, fd, offset, size - offset)
            if isinstance(sent, str):
                name = "a part" if 0 < first < size else first
                return Finding([name, sent], f"{first} bytes first, {offset} in all")
            offset += sent
        return [first, "all"]


@experiment(
    "sendfile-peer-gone",
    "sendfile to a closed peer: does it fail with an error of the connection",
    relied_on=(True,),
)
def peer_that_has_gone() -> Answer:
    with tcp_pair() as (near, far), file_of(1000) as fd:
        far.close()
        # The first call may succeed; the peer answers it with a reset.
        for _ in range(3):
            outcome = send(near, fd, 0, 1000)
            if isinstance(outcome, str):
                return Finding(outcome in ("EPIPE", "ECONNRESET", "ENOTCONN"), outcome)
            poll = select.poll()
            poll.register(near, 0)
            poll.poll(PATIENCE_S * 100)
        return False


@experiment("sendfile-from-a-pipe", "sendfile from a pipe")
def pipe_as_a_file() -> Answer:
    with tcp_pair() as (near, _far):
        reader, writer = os.pipe()
        os.write(writer, b"abc")
        return send(near, reader, 0, 3)


@experiment(
    "sendfile-mogpoll",
    "mogpoll: sendfile of 3 MiB in parts: bytes received",
    relied_on=(3 * 1024 * 1024,),
)
def whole_file() -> Answer:
    size = 3 * 1024 * 1024
    arrived = offset = 0
    with tcp_pair() as (near, far), file_of(size) as fd:
        while arrived < size:
            if offset < size:
                try:
                    offset += sendfile(near, fd, offset, size - offset)
                except BlockingIOError:
                    pass
            if not select.select([far], [], [], PATIENCE_S)[0]:
                break
            arrived += len(far.recv(1024 * 1024))
    return arrived


@experiment("cork", "options that hold back a head until its body follows")
def corks() -> Answer:
    return [name for name in ("MSG_MORE", "TCP_CORK", "TCP_NOPUSH") if hasattr(socket, name)]


@experiment("tell-cached-from-cold", "options to read a file only if it is cached")
def ways_to_read_what_is_cached() -> Answer:
    return [name for name in ("RWF_NOWAIT", "SF_NODISKIO") if hasattr(os, name)]


@experiment("idle-time", "does TCP_INFO count the time since data arrived")
def idle_time() -> Answer:
    with tcp_pair() as (near, far):
        far.send(b"a")
        select.select([near], [], [], PATIENCE_S)
        return last_data_received_ms(near) is not None


@experiment(
    "room-after-full",
    "a full socket is drained by its peer: does it become writable",
    relied_on=(True,),
)
def room() -> Answer:
    with tcp_pair() as (near, far):
        fill(near)
        # Acknowledgements may be delayed.
        for _ in range(100):
            drain(far)
            if select.select([], [near], [], 0.02)[1]:
                return True
        return False


@experiment("fragment-size", "fragment size of the file system for temporary files")
def fragment_size() -> Answer:
    found = os.statvfs(tempfile.gettempdir()).f_frsize
    return Finding("1 KiB or more" if found >= 1024 else "below 1 KiB", str(found))
