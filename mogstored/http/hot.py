"""The fast path of reading: a plain GET of a small file that is open already.

This repeats in one function what `session`, `request` and `get` do in many, for the one
kind of request that makes up nearly all traffic: a whole GET in one piece, HTTP keep-alive,
no Range, no body. Everything else returns None from here and takes the general way, and so
does this kind at the least surprise.

Clients ask for a popular file with the same bytes each time. What such a request means is
kept under these bytes while the file is open, and then costs one look-up.

Measured, one thread, 1 KiB, 16 connections, epoll and sockets included: 39 us by the general
way, 21 us with all the parsing, 18 us like this; of these the interpreter has 8.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from mogpoll import Next, sendfile
from mogstored.http import response
from mogstored.http.dates import date_now
from mogstored.http.get import MSG_MORE, NS, SMALL, Download
from mogstored.http.ranges import Span
from mogstored.http.request import BadRequest, parse_fields
from mogstored.storage.paths import MAX_PATH

if TYPE_CHECKING:
    from mogstored.http.session import HTTPSession
    from mogstored.storage.device import Device
    from mogstored.storage.open_files import OpenFile

# The same grammar as `request` has, cut down to what is worth being fast.
_PLAIN_GET = re.compile(
    rb"GET /([A-Za-z0-9.-][A-Za-z0-9/.-]{0,%d}) HTTP/1\.([01])\r\n" % (MAX_PATH - 2)
)

# The path of each plain GET that found its file open, by the bytes of the request. Touched by
# single operations. Emptied when it is full, for nobody says which of them come again.
_paths: dict[bytes, bytes] = {}
_MAX_PATHS = 1024
_MAX_REQUEST = 512

# A member of an enumeration is looked up in three steps.
_READ = Next.READ


def answer(session: HTTPSession, data: bytes) -> Next | None:
    """Answer the request that `data` is, or do nothing and return None."""
    known = _paths.get(data)
    path = known or _path_of_plain_get(data)
    if path is None:
        return None
    service = session.service
    device = service.devices.of(path)
    if not device.try_enter(session):
        return None
    try:
        file = service.open_files.take(path, None)
        if file is None:
            return None
        fd, size = file.fd, file.size
        content = None
        try:
            status = os.fstat(fd)
            if status.st_nlink == 1 and status.st_ctime_ns == file.ctime_ns:
                content = os.pread(fd, size, 0) if size <= SMALL else b""
        except OSError:
            # The general way will meet it again, and say what it was.
            content = None
        if content is None or (size <= SMALL and len(content) != size):
            os.close(fd)
            return None
        if known is None:
            _remember(data, path)
        head_rest = file.head_rest
        if not head_rest:
            head_rest = file.head_rest = response.whole_rest(size, status.st_mtime_ns // NS, True)
        head = response.WHOLE_BEGIN + date_now() + head_rest
        session.pending = b""
        if size > SMALL:
            return _send_large(session, path, file, head, device)
        service.open_files.give(path, file)
    finally:
        device.leave()
    whole = head + content
    try:
        sent = session.sock.send(whole)
    except BlockingIOError:
        sent = 0
    return _READ if sent == len(whole) else session.answer(whole[sent:], True)


def _path_of_plain_get(data: bytes) -> bytes | None:
    line = _PLAIN_GET.match(data)
    if line is None or data.find(b"\r\n\r\n") != len(data) - 4:
        return None
    path, minor = line.groups()
    try:
        fields = parse_fields(data[line.end() :], 1 if minor == b"1" else 0)
    except BadRequest:
        return None
    return path if fields.is_plain else None


def _remember(data: bytes, path: bytes) -> None:
    if len(data) <= _MAX_REQUEST:
        if len(_paths) >= _MAX_PATHS:
            _paths.clear()
        _paths[data] = path


def _send_large(
    session: HTTPSession, path: bytes, file: OpenFile, head: bytes, device: Device
) -> Next:
    """Send head and file in one go if the socket takes them; what is left is a `Download`."""
    fd, size = file.fd, file.size
    sent = moved = 0
    try:
        sent = session.sock.send(head, MSG_MORE)
        if sent == len(head):
            moved = sendfile(session.sock, fd, 0, size)
    except BlockingIOError:
        # Full.
        pass
    except BaseException:
        os.close(fd)
        raise
    if moved == size:
        session.service.open_files.give(path, file)
        return session.finish(keep_alive=True)
    rest = Span(moved, size - moved)
    session.work = Download(path, fd, head[sent:], rest, True, device, file)
    return Next.WRITE
