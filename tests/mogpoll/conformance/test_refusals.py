"""A refused call raises the contract's exception, and changes nothing."""

from __future__ import annotations

import errno
import os
import pty
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll import (
    AlreadyRegistered,
    BadDescriptor,
    NotPollable,
    NotRegistered,
    PollerClosed,
    PollError,
)
from tests.mogpoll.checks import INTERESTS, READ, WRITE, received

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import Interest, Poller
    from tests.mogpoll.checks import Pair

# Negative, above the limit of open files, too large for the C type.
IMPOSSIBLE = [-1, -7, 10**8, 2**31 - 1, 2**31, 2**40, 2**70]
WRONG_TYPES: list[object] = [None, "3", b"3", 3.0, [], (1, 2)]


def closed_number() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    return reader


@pytest.mark.parametrize("interest", INTERESTS)
def test_closed_descriptor_cannot_be_added(poller: Poller, interest: Interest) -> None:
    with pytest.raises(BadDescriptor):
        poller.add(closed_number(), interest)


@pytest.mark.parametrize("fd", IMPOSSIBLE)
def test_impossible_number_cannot_be_added(poller: Poller, fd: int) -> None:
    with pytest.raises(BadDescriptor):
        poller.add(fd, READ)


@pytest.mark.parametrize("fd", IMPOSSIBLE)
@pytest.mark.parametrize("method", ["rearm", "forget"])
def test_impossible_number_is_not_registered(poller: Poller, fd: int, method: str) -> None:
    arguments = (fd, READ) if method == "rearm" else (fd,)
    with pytest.raises(NotRegistered):
        getattr(poller, method)(*arguments)


@pytest.mark.parametrize("fd", WRONG_TYPES, ids=repr)
@pytest.mark.parametrize("method", ["add", "rearm", "forget"])
def test_wrong_type_is_a_type_error(poller: Poller, fd: Any, method: str) -> None:
    arguments = (fd,) if method == "forget" else (fd, READ)
    with pytest.raises(TypeError):
        getattr(poller, method)(*arguments)


def test_object_with_a_descriptor_stands_for_it(poller: Poller, pair: Pair) -> None:
    """As for `selectors`. Events name the number."""
    poller.add(pair[0], READ)
    poller.rearm(pair[0], WRITE)
    event = poller.wait(10)
    assert event is not None
    assert event.fd == pair[0].fileno()
    poller.forget(pair[0])
    poller.add(pair[0].fileno(), READ)


@pytest.mark.parametrize("method", ["add", "rearm", "forget"])
def test_object_without_a_descriptor_is_named(poller: Poller, method: str) -> None:
    arguments = ("a name",) if method == "forget" else ("a name", READ)
    with pytest.raises(TypeError, match="'a name' is no descriptor"):
        getattr(poller, method)(*arguments)


def test_closed_socket_is_a_bad_descriptor(poller: Poller) -> None:
    with socket.socket() as closed:
        pass
    with pytest.raises(BadDescriptor):
        poller.add(closed, READ)


@pytest.mark.parametrize("method", ["add", "rearm", "forget"])
def test_float_that_equals_a_descriptor_leaves_it_as_it_was(
    poller: Poller, pair: Pair, method: str
) -> None:
    fd: Any = float(pair[0].fileno())
    if method != "add":
        poller.add(pair[0].fileno(), READ)
    arguments = (fd,) if method == "forget" else (fd, WRITE)
    with pytest.raises(TypeError):
        getattr(poller, method)(*arguments)
    if method == "add":
        poller.add(pair[0].fileno(), READ)
    before = received(poller)
    pair[1].send(b"a")
    assert (before, received(poller)) == ([], [pair[0].fileno()])


@pytest.mark.parametrize("interest", INTERESTS)
@pytest.mark.parametrize("kind", ["regular", "empty", "directory", "null", "terminal"])
def test_n08_files_directories_and_devices_are_refused(
    poller: Poller, tmp_path: Path, interest: Interest, kind: str
) -> None:
    (tmp_path / "regular").write_bytes(b"abc")
    (tmp_path / "empty").touch()
    master, terminal = pty.openpty()
    devices = {"null": Path("/dev/null"), "terminal": Path(os.ttyname(terminal))}
    place = {"directory": tmp_path, **devices}.get(kind, tmp_path / kind)
    fd = os.open(place, os.O_RDONLY | os.O_NOCTTY)
    os.close(master)
    os.close(terminal)
    try:
        with pytest.raises(NotPollable):
            poller.add(fd, interest)
        with pytest.raises(NotRegistered):
            poller.forget(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("interest", INTERESTS)
def test_n02_unknown_descriptor_cannot_be_rearmed(
    poller: Poller, pair: Pair, interest: Interest
) -> None:
    with pytest.raises(NotRegistered):
        poller.rearm(pair[0].fileno(), interest)


def test_n02_unknown_descriptor_cannot_be_forgotten(poller: Poller, pair: Pair) -> None:
    with pytest.raises(NotRegistered):
        poller.forget(pair[0].fileno())


def test_forgotten_descriptor_is_unknown(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), READ)
    poller.forget(pair[0].fileno())
    with pytest.raises(NotRegistered):
        poller.rearm(pair[0].fileno(), READ)
    with pytest.raises(NotRegistered):
        poller.forget(pair[0].fileno())


@pytest.mark.parametrize("armed", [True, False])
def test_registered_descriptor_that_was_closed_cannot_be_rearmed(
    poller: Poller, armed: bool
) -> None:
    near, far = socket.socketpair()
    far.close()
    fd = near.fileno()
    poller.add(fd, READ)
    if not armed:
        poller.wait()
    near.close()
    with pytest.raises(BadDescriptor):
        poller.rearm(fd, READ)
    poller.forget(fd)


def test_failed_add_leaves_no_trace(poller: Poller) -> None:
    fd = closed_number()
    for _ in range(2):
        with pytest.raises(BadDescriptor):
            poller.add(fd, READ)
        with pytest.raises(NotRegistered):
            poller.forget(fd)
    reader, writer = os.pipe()
    assert reader == fd
    os.write(writer, b"a")
    poller.add(fd, READ)
    found = received(poller)
    poller.forget(fd)
    os.close(reader)
    os.close(writer)
    assert found == [fd]


@pytest.mark.parametrize("interest", INTERESTS)
def test_queue_does_not_watch_itself(poller: Poller, interest: Interest) -> None:
    with pytest.raises(NotPollable):
        poller.add(poller.fileno(), interest)
    with pytest.raises(NotRegistered):
        poller.forget(poller.fileno())


@pytest.mark.parametrize("interest", [0, 4, 7, -1, -2, -3, 0.5, "read", None, [1]])
def test_what_is_no_interest_is_a_value_error(poller: Poller, pair: Pair, interest: Any) -> None:
    fd = pair[0].fileno()
    with pytest.raises(ValueError, match=r"(?i)interest"):
        poller.add(fd, interest)
    poller.add(fd, READ)
    with pytest.raises(ValueError, match=r"(?i)interest"):
        poller.rearm(fd, interest)
    pair[1].send(b"a")
    assert received(poller) == [fd], "it is armed as before"


@pytest.mark.parametrize("interest", [1, 1.0, True])
def test_what_equals_an_interest_is_one(poller: Poller, pair: Pair, interest: Any) -> None:
    pair[1].send(b"a")
    poller.add(pair[0].fileno(), interest)
    assert received(poller) == [pair[0].fileno()]
    poller.rearm(pair[0].fileno(), interest)
    assert received(poller) == [pair[0].fileno()]


def test_wait_of_nan_is_a_value_error(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), WRITE)
    with pytest.raises(ValueError, match="nan"):
        poller.wait(float("nan"))
    assert received(poller) == [pair[0].fileno()], "no event was lost"


@pytest.mark.parametrize("timeout_s", [2_000_000, 2.2e6, 2**31, 1e300, float("inf"), 10**400])
def test_wait_may_be_longer_than_a_kernel_can_count(
    poller: Poller, pair: Pair, timeout_s: float
) -> None:
    poller.add(pair[0].fileno(), WRITE)
    event = poller.wait(timeout_s)
    assert event is not None
    assert event.fd == pair[0].fileno()


@pytest.mark.parametrize("timeout_s", ["1", b"1", [], ()], ids=repr)
def test_wait_of_what_is_no_number_is_a_type_error(poller: Poller, timeout_s: Any) -> None:
    with pytest.raises(TypeError):
        poller.wait(timeout_s)


def test_interest_is_no_combination_but_the_one(pair: Pair) -> None:
    both: object = READ | WRITE
    assert both is INTERESTS[2]


CALLS: dict[str, Callable[[Poller, int], object]] = {
    "add": lambda poller, fd: poller.add(fd, READ),
    "rearm": lambda poller, fd: poller.rearm(fd, READ),
    "forget": lambda poller, fd: poller.forget(fd),
    "wait": lambda poller, _: poller.wait(0),
    "fileno": lambda poller, _: poller.fileno(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("known", [True, False])
def test_closed_poller_refuses_every_call(
    poller: Poller, pair: Pair, call: Callable[[Poller, int], object], known: bool
) -> None:
    if known:
        poller.add(pair[0].fileno(), READ)
    poller.close()
    with pytest.raises(PollerClosed):
        call(poller, pair[0].fileno())


@pytest.mark.parametrize("fd", [*IMPOSSIBLE, None])
def test_closed_poller_says_so_first(poller: Poller, fd: Any) -> None:
    poller.close()
    if fd is None:
        fd = closed_number()
    for call in CALLS.values():
        with pytest.raises(PollerClosed):
            call(poller, fd)


def test_closing_twice_does_no_harm(poller: Poller) -> None:
    poller.close()
    poller.close()


def test_closed_poller_does_not_close_what_has_its_number_now(poller: Poller) -> None:
    number = poller.fileno()
    poller.close()
    reader, writer = os.pipe()
    if number not in (reader, writer):
        os.dup2(reader, number)
    poller.close()
    os.fstat(number)
    for fd in {reader, writer, number}:
        os.close(fd)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (AlreadyRegistered, errno.EEXIST),
        (NotRegistered, errno.ENOENT),
        (NotPollable, errno.EPERM),
        (BadDescriptor, errno.EBADF),
        (PollerClosed, errno.EBADF),
    ],
)
def test_refusal_can_be_caught_as_any_of_three_kinds(kind: type[PollError], number: int) -> None:
    error = kind() if kind is PollerClosed else kind(3)
    assert isinstance(error, PollError)
    assert isinstance(error, OSError)
    assert error.errno == number
