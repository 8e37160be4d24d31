"""sendfile works the same way on every system, and so does copy_file."""

from __future__ import annotations

import errno
import importlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from mogpoll import FileError, copy_file, sendfile
from tests.support.sockets import drain, fill, reset, stream_pair, tcp_pair
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.mogpoll.checks import Pair

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)

# The package has the function under this name.
MODULE = importlib.import_module("mogpoll.system.sendfile")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


def refuse_with(number: int) -> Callable[..., int]:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


UNSUPPORTED = ["missing", "EINVAL", "ENOSYS", "EOPNOTSUPP", "ENOTSOCK"]


@pytest.fixture(params=["native", *UNSUPPORTED])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The system's call, and each case in which it is not used."""
    if request.param == "missing":
        monkeypatch.setattr(MODULE, "_os_sendfile", None)
    elif request.param != "native":
        monkeypatch.setattr(MODULE, "_os_sendfile", refuse_with(getattr(errno, request.param)))
    chosen: str = request.param
    return chosen


def read_all(sock: socket.socket, count: int) -> bytes:
    found = bytearray()

    def is_there() -> bool:
        found.extend(drain(sock))
        return len(found) >= count

    wait_until(is_there, f"{count} bytes arrive")
    return bytes(found)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("offset", "count", "sent"),
    [
        (0, SIZE, SIZE),
        (0, 1, 1),
        (1, 1, 1),
        (SIZE - 1, 1, 1),
        (100, 1000, 1000),
        (0, SIZE + 1, SIZE),
        (SIZE - 10, 2**40, 10),
        (SIZE, 1, 0),
        (SIZE, SIZE, 0),
        (SIZE + 1, 1, 0),
        (2**40, 5, 0),
    ],
)
def test_meaning_of_offset_and_count(file: int, offset: int, count: int, sent: int) -> None:
    with tcp_pair() as (near, far):
        assert sendfile(near, file, offset, count) == sent
        assert read_all(far, sent) == CONTENT[offset : offset + sent]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("count", [0, -1])
def test_n37_count_below_one_is_refused(file: int, count: int) -> None:
    with tcp_pair() as (near, far):
        with pytest.raises(ValueError, match="bytes"):
            sendfile(near, file, 0, count)
        assert drain(far) == b""


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("timeout_s", [None, 5.0])
def test_n39_blocking_socket_is_refused(file: int, timeout_s: float | None) -> None:
    with tcp_pair() as (near, far):
        near.settimeout(timeout_s)
        with pytest.raises(ValueError, match="non-blocking"):
            sendfile(near, file, 0, 1)
        assert drain(far) == b""


def send_again_and_again(near: socket.socket, file: int, most: int = 100) -> None:
    """Send until the socket would block, within a limit.

    Linux before 6.5 let sendfile add pages to the last buffer of a full UNIX socket, so that the
    first call or two may still succeed (seen on 6.1).
    """
    for _ in range(most):
        sendfile(near, file, 0, SIZE)


@pytest.mark.usefixtures("way")
def test_n38_full_socket_would_block(file: int, pair: Pair) -> None:
    fill(pair[0])
    with pytest.raises(BlockingIOError):
        send_again_and_again(pair[0], file)


@pytest.mark.usefixtures("way")
def test_n38_large_file_goes_in_parts(tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 4
    path = tmp_path / "large"
    path.write_bytes(content)
    parts: list[int] = []
    received = bytearray()
    with open(path, "rb") as large, tcp_pair() as (near, far):
        while (offset := sum(parts)) < len(content):
            try:
                parts.append(sendfile(near, large.fileno(), offset, len(content) - offset))
            except BlockingIOError:
                received += drain(far)
        received += read_all(far, len(content) - len(received))
    assert len(parts) > 1
    assert received == content


@pytest.mark.usefixtures("way")
def test_n37_file_that_shrinks_ends_early(file: int) -> None:
    with tcp_pair() as (near, far):
        first = sendfile(near, file, 0, 100)
        os.ftruncate(file, 150)
        second = sendfile(near, file, 100, SIZE - 100)
        third = sendfile(near, file, 150, SIZE - 150)
        assert (first, second, third) == (100, 50, 0)
        assert read_all(far, 150) == CONTENT[:150]


@pytest.mark.usefixtures("way")
def test_position_of_the_file_is_left_alone(file: int) -> None:
    os.lseek(file, 77, os.SEEK_SET)
    with tcp_pair() as (near, _):
        sendfile(near, file, 10, 20)
    assert os.lseek(file, 0, os.SEEK_CUR) == 77


@pytest.mark.usefixtures("way")
def test_n40_peer_that_has_gone_is_a_connection_error(file: int) -> None:
    with tcp_pair() as (near, far):
        reset(far)

        def send_until_refused() -> bool:
            try:
                sendfile(near, file, 0, SIZE)
            except ConnectionError:
                return True
            return False

        wait_until(send_until_refused, "the peer has gone")


@pytest.mark.usefixtures("way")
def test_unix_socket_takes_it_too(file: int) -> None:
    with stream_pair() as (near, far):
        sent = sendfile(near, file, 0, 1000)
        assert read_all(far, sent) == CONTENT[:sent]


def test_n38_file_that_is_being_read_would_block(
    file: int, monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    monkeypatch.setattr(MODULE, "_os_sendfile", refuse_with(errno.EBUSY))
    with pytest.raises(BlockingIOError):
        sendfile(pair[0], file, 0, 1)


@pytest.mark.parametrize("number", [errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN, errno.EPIPE])
def test_error_of_the_file_is_not_the_sockets(
    file: int, monkeypatch: pytest.MonkeyPatch, pair: Pair, number: int
) -> None:
    monkeypatch.setattr(MODULE, "_os_sendfile", refuse_with(number))
    monkeypatch.setattr(os, "pread", refuse_with(number))
    with pytest.raises(FileError) as caught:
        sendfile(pair[0], file, 0, 1)
    assert caught.value.errno == number
    assert not isinstance(caught.value, (ConnectionError, TimeoutError))


def test_error_that_does_not_repeat_itself_costs_nothing(
    file: int, monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    monkeypatch.setattr(MODULE, "_os_sendfile", refuse_with(errno.ETIMEDOUT))
    assert sendfile(pair[0], file, 0, 100) == 100
    assert read_all(pair[1], 100) == CONTENT[:100]


def test_copy_knows_a_file_that_would_block(
    file: int, monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    monkeypatch.setattr(os, "pread", refuse_with(errno.EAGAIN))
    with pytest.raises(FileError):
        copy_file(pair[0], file, 0, 1)


def test_directory_cannot_be_sent(tmp_path: Path, pair: Pair) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(FileError, match="directory"):
        sendfile(pair[0], directory, 0, 1)
    os.close(directory)


def test_one_call_moves_no_more_than_its_share(
    file: int, monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    asked: list[int] = []

    def record(_out: int, _in: int, _offset: int, count: int) -> int:
        asked.append(count)
        return count

    monkeypatch.setattr(MODULE, "_os_sendfile", record)
    assert sendfile(pair[0], file, 0, 2**40) == asked[0] == 100 * 1024 * 1024
