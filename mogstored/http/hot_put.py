"""The fast path of writing: a small body that came with its head becomes a file.

This repeats in one function what `session`, `request` and `put` do in many, for the kind
of PUT that is one packet: a path that may be stored, a body of known length without a
checksum, a connection that stays. Everything else returns None from here and takes the
general way. So does a PUT that fails: it leaves no trace, and the general way meets the
failure again in order to answer it.

Measured, one thread, 1 KiB, 16 connections, epoll, sockets and file included: 67 us
by the general way, 60 us here; 43 of these are system calls.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mogpoll import Next
from mogstored.http import response
from mogstored.http.request import END_OF_HEAD, BadRequest, parse_fields
from mogstored.storage.paths import MAX_PATH

if TYPE_CHECKING:
    from mogstored.http.session import HTTPSession

# The same grammar as `request` and `paths` have, cut down to what is worth being fast.
_PLAIN_PUT = re.compile(rb"PUT /(dev[0-9]+/[A-Za-z0-9/.-]*[A-Za-z0-9.-]) HTTP/1\.([01])\r\n")

# A member of an enumeration is looked up in three steps.
_READ = Next.READ


def answer(session: HTTPSession, data: bytes) -> Next | None:
    """Answer the request that `data` begins with, or do nothing and return None."""
    line = _PLAIN_PUT.match(data)
    if line is None or session.get_only:
        return None
    path, minor = line.groups()
    # As `is_climbing`, which costs 0.2 us more to call.
    if len(path) >= MAX_PATH or b".." in path:
        return None
    begin = data.find(END_OF_HEAD, line.end() - 2) + len(END_OF_HEAD)
    if begin < len(END_OF_HEAD):
        return None
    try:
        fields = parse_fields(data[line.end() : begin], 1 if minor == b"1" else 0)
    except BadRequest:
        return None
    end = begin + (fields.content_length or 0)
    service = session.service
    if end > len(data) or not fields.is_bare_body or not fields.keep_alive or service.guard:
        return None
    device = service.devices.of(path)
    if not device.try_enter(session):
        return None
    try:
        service.docroot.store(path, data[begin:end])
        if not device.name:
            service.devices.learn(path)
        # Closes the file that was replaced, if it was kept open: the disk's work as well.
        service.note_change(path)
    except OSError:
        return None
    finally:
        device.leave()
    session.pending = data[end:]
    created = response.short(201, True)
    try:
        sent = session.sock.send(created)
    except BlockingIOError:
        sent = 0
    if sent < len(created):
        return session.answer(created[sent:], True)
    return Next.AGAIN if session.pending else _READ
