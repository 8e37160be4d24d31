"""Which descriptors are taken over from the environment, and which end the start."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from mogstored.config import ConfigError
from mogstored.config.values.addresses import parse_address
from mogstored.process.upgrades.inherited import Inherited, count_upgrades, parse_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX = 2**31 - 1


@pytest.mark.parametrize(
    ("listed", "fds"), [("5", [5]), ("5,6", [5, 6]), ("007", [7]), (f"{MAX}", [MAX])]
)
def test_descriptors(listed: str, fds: list[int]) -> None:
    assert parse_descriptors(listed) == fds


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ("", "CMOGSTORED_FD=: invalid byte: 0"),
        ("5,", "CMOGSTORED_FD=5,: invalid byte: 0"),
        (",5", "CMOGSTORED_FD=,5: invalid byte: 44"),
        ("5 6", "CMOGSTORED_FD=5 6: invalid byte: 32"),
        ("5x", "CMOGSTORED_FD=5x: invalid byte: 120"),
        (f"{MAX + 1}", f"CMOGSTORED_FD: {MAX + 1} is no descriptor: too large"),
        (f"{2**64 - 1}", f"CMOGSTORED_FD: {2**64 - 1} is no descriptor: too large"),
        (f"{2**64}", f"CMOGSTORED_FD: failed to parse {2**64}: out of range"),
        ("0" * 40 + "1", f"CMOGSTORED_FD: failed to parse {'0' * 40}: out of range"),
        ("9" * 5000, f"CMOGSTORED_FD: failed to parse {'9' * 40}: out of range"),
    ],
)
def test_list_that_cannot_be_read(listed: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_descriptors(listed)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("listed", "count", "expected"),
    [
        ("5", "3", 3),
        ("5", "", 0),
        ("5", None, 0),
        ("", "3", 0),
        ("5", "-3", 0),
        ("5", "x", 0),
        ("5", "9" * 9, 999_999_999),
        ("5", "9" * 10, 0),
    ],
)
def test_count_of_upgrades(listed: str, count: str | None, expected: int) -> None:
    environ = {"CMOGSTORED_FD": listed}
    if count is not None:
        environ["MOGSTORED_UPGRADES"] = count
    assert count_upgrades(environ) == expected
    assert count_upgrades({}) == 0


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def listener(stack: ExitStack, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    return stack.enter_context(socket.create_server((host, 0), family=family))


def address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_socket_of_a_wanted_address_is_taken_once(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, family: socket.AddressFamily
) -> None:
    caplog.set_level("INFO", "mogstored")
    wanted, unwanted = listener(stack, family), listener(stack)
    addr, other = address(wanted), address(unwanted)
    fds = [os.dup(each.fileno()) for each in (wanted, unwanted)]
    os.set_inheritable(fds[0], True)
    environ = {"CMOGSTORED_FD": f"{fds[0]},{fds[1]}", "LISTEN_FDS": "1", "LISTEN_PID": "8"}
    inherited = Inherited.from_environment(environ, 7)
    assert (environ, inherited.by_upgrade) == ({}, True)
    assert inherited.has(parse_address(addr))
    assert not inherited.has(parse_address("127.0.0.1:1"))
    assert inherited.take(parse_address("127.0.0.1:1")) is None
    taken = inherited.take(parse_address(addr))
    assert taken is not None
    stack.enter_context(taken)
    assert (taken.fileno(), taken.get_inheritable()) == (fds[0], False)
    assert inherited.take(parse_address(addr)) is None
    for _ in range(2):
        inherited.close_unwanted()
    assert caplog.messages == [
        f"inherited {addr} on descriptor {fds[0]}",
        f"closing inherited descriptor {fds[1]}: {other} is not wanted",
    ]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds[1])


def test_nothing_is_inherited() -> None:
    inherited = Inherited.from_environment({}, 7)
    assert inherited.by_upgrade is False
    assert not inherited.has(parse_address("127.0.0.1:1"))


def refusal(inherited: Inherited, fd: int) -> str:
    """Return why a descriptor is refused; no traceback keeps its socket open."""
    try:
        inherited.add(fd)
    except ConfigError as error:
        return str(error)
    raise AssertionError("it was taken")


def test_second_socket_of_an_address(stack: ExitStack) -> None:
    sock = listener(stack)
    inherited = Inherited()
    inherited.add(os.dup(sock.fileno()))
    second = os.dup(sock.fileno())
    expected = f"descriptor {second} is a second socket that listens on {address(sock)}"
    assert refusal(inherited, second) == expected
    inherited.close_unwanted()


@pytest.mark.parametrize("kind", ["file", "stream", "datagram", "local", "none"])
def test_descriptor_that_is_no_listener(stack: ExitStack, kind: str) -> None:
    made = {
        "stream": (socket.AF_INET, socket.SOCK_STREAM),
        "datagram": (socket.AF_INET, socket.SOCK_DGRAM),
        "local": (socket.AF_UNIX, socket.SOCK_STREAM),
    }
    if kind in made:
        fd = socket.socket(*made[kind]).detach()
        reason = f"descriptor {fd} is not a socket that listens for TCP connections"
    elif kind == "file":
        fd = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, fd)
        reason = f"getsockname({fd}) failed: Socket operation on non-socket (ENOTSOCK)"
    else:
        fd = os.open(os.devnull, os.O_RDONLY)
        os.close(fd)
        reason = f"getsockname({fd}) failed: Bad file descriptor (EBADF)"
    assert refusal(Inherited(), fd) == reason


@pytest.mark.parametrize("count", ["x", "-1", "1.5", "\u0663"])
def test_number_of_activated_sockets_that_is_none(count: str) -> None:
    environ = {"LISTEN_FDS": count, "LISTEN_PID": "7", "LISTEN_FDNAMES": "a"}
    with pytest.raises(ConfigError) as caught:
        Inherited.from_environment(environ, 7)
    assert str(caught.value) == f"LISTEN_FDS={count} is not a number"
    assert environ == {}
    # Meant for another process.
    Inherited.from_environment({"LISTEN_FDS": count, "LISTEN_PID": "8"}, 7)
