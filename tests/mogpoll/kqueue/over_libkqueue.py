"""Constants and shorthands for the tests of the libkqueue shim."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

import pytest

from mogpoll.libkqueue.shim import Libkqueue, kevent, kqueue

PATH = os.environ.get("MOGPOLL_LIBKQUEUE")
READ, WRITE = Libkqueue.KQ_FILTER_READ, Libkqueue.KQ_FILTER_WRITE
ADD, DELETE, ONESHOT = Libkqueue.KQ_EV_ADD, Libkqueue.KQ_EV_DELETE, Libkqueue.KQ_EV_ONESHOT
EOF, ERROR = Libkqueue.KQ_EV_EOF, Libkqueue.KQ_EV_ERROR

Pair = tuple[socket.socket, socket.socket]

needs_library = pytest.mark.skipif(
    not PATH, reason="MOGPOLL_LIBKQUEUE names no libkqueue (tests.support.fetch_libkqueue)"
)


def arm(queue: kqueue, file: int | socket.socket, filter_: int = READ, udata: int = 0) -> None:
    assert queue.control([kevent(file, filter_, ADD | ONESHOT, 0, 0, udata)], 0) == []


def received(queue: kqueue) -> list[tuple[int, int, int]]:
    return [(event.ident, event.filter, event.udata) for event in queue.control(None, 8, 0)]


def is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def refusal(action: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the caller compares the errno
        action()
    return caught.value.errno


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))
