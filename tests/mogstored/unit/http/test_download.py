"""In how many turns a file goes to its client."""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import Mock

import pytest

from mogpoll import FileError, Next
from mogstored.http import get
from mogstored.http.get import Download
from mogstored.http.message.ranges import Span
from tests.support.sockets import stream_pair
from tests.support.threads import join

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024


class Reader(threading.Thread):
    """Counts what comes over a socket until its end."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(daemon=True)
        self._sock = sock
        self.received = 0

    def run(self) -> None:
        while got := len(self._sock.recv(MIB)):
            self.received += got


@pytest.fixture(autouse=True)
def passing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many seconds go by with each look at the clock: none, however slow the machine is."""
    seconds = [0.0]
    times = (number * seconds[0] for number in itertools.count())
    monkeypatch.setattr(get, "monotonic", lambda: next(times))
    return seconds


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Reader]]:
    with stream_pair() as (ours, theirs):
        theirs.setblocking(True)
        reader = Reader(theirs)
        reader.start()
        yield ours, reader


def verdicts(ours: socket.socket, file: Path, size: int) -> list[Next]:
    """Send a file of that many bytes step by step; return what each step said."""
    file.touch()
    os.truncate(file, size)
    sent: list[int] = []
    session = SimpleNamespace(
        sock=ours,
        note_sent=sent.append,
        end_answer=lambda keep_alive: Next.READ if keep_alive else Next.CLOSE,
    )
    fd, device = os.open(file, os.O_RDONLY), cast("Any", None)
    download = Download(b"dev1/a", fd, b"", Span(0, size), True, device)
    said: list[Next] = []
    while not said or said[-1] is not Next.READ:
        assert select.select([], [ours], [], 30)[1]
        session.turn_at = cast("Any", get).monotonic()
        said.append(download.send_some(cast("Any", session)))
    assert sum(sent) == size
    return said


def ended(ours: socket.socket, reader: Reader) -> int:
    ours.shutdown(socket.SHUT_WR)
    join(reader)
    return reader.received


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[list[Download]]:
    """Eight more long downloads in this process."""
    file = tmp_path / "other"
    file.touch()
    device = cast("Any", None)
    others = [
        Download(b"dev1/b", os.open(file, os.O_RDONLY), b"", Span(0, 17 * MIB), True, device)
        for _ in range(8)
    ]
    yield others
    for other in others:
        other.abandon()


@pytest.mark.usefixtures("crowd")
def test_long_file_among_many_gives_way_often(
    pair: tuple[socket.socket, Reader], tmp_path: Path
) -> None:
    ours, reader = pair
    size = 16 * MIB + 1
    said = verdicts(ours, tmp_path / "file", size)
    assert set(said[:-1]) <= {Next.AGAIN, Next.WRITE}
    assert len(said) > size // (128 * 1024)
    assert ended(ours, reader) == size


def test_long_file_among_few_does_not(pair: tuple[socket.socket, Reader], tmp_path: Path) -> None:
    """The eight of the test before are forgotten as well."""
    few(pair, tmp_path)


def test_eight_are_few(
    pair: tuple[socket.socket, Reader], tmp_path: Path, crowd: list[Download]
) -> None:
    crowd[0].abandon()
    few(pair, tmp_path)


def few(pair: tuple[socket.socket, Reader], tmp_path: Path) -> None:
    ours, reader = pair
    said = verdicts(ours, tmp_path / "file", 16 * MIB + 1)
    assert said.count(Next.AGAIN) <= 1
    assert ended(ours, reader) == 16 * MIB + 1


@pytest.mark.usefixtures("crowd")
def test_shorter_file_goes_as_far_as_the_socket_takes_it(
    pair: tuple[socket.socket, Reader], tmp_path: Path
) -> None:
    ours, reader = pair
    said = verdicts(ours, tmp_path / "file", 16 * MIB)
    assert set(said[:-1]) <= {Next.WRITE}
    assert ended(ours, reader) == 16 * MIB


def test_turn_on_a_slow_disk_ends_with_its_time(
    pair: tuple[socket.socket, Reader], tmp_path: Path, passing: list[float]
) -> None:
    ours, reader = pair
    passing[0] = 0.03
    said = verdicts(ours, tmp_path / "file", 16 * MIB)
    assert len(said) >= 16
    assert ended(ours, reader) == 16 * MIB


def test_file_that_looks_like_a_full_socket_is_copied(
    pair: tuple[socket.socket, Reader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that gets something through goes back to sendfile."""
    called: list[tuple[str, int]] = []
    results = iter([None, 5, None, 5])

    def sending(name: str) -> Any:
        def send(_sock: object, _fd: int, offset: int, _size: int) -> int:
            called.append((name, offset))
            sent = next(results)
            if sent is None:
                raise BlockingIOError
            return sent

        return send

    for name in ("sendfile", "copy_file"):
        monkeypatch.setattr(get, name, sending(name))
    said = verdicts(pair[0], tmp_path / "file", 10)
    assert said == [Next.WRITE, Next.WRITE, Next.READ]
    assert called == [("sendfile", 0), ("copy_file", 0), ("sendfile", 5), ("sendfile", 5)]
    ended(*pair)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("error", "reports"),
    [
        # The file has become shorter.
        (None, ["shrunk"]),
        (FileError(errno.EIO, "broken"), ["error"]),
        (FileError(), ["error"]),
        (ConnectionResetError(errno.ECONNRESET, "reset"), []),
    ],
    ids=["shrunk", "disk", "unnumbered", "client"],
)
def test_file_that_is_not_sent_to_its_end_is_closed_while_the_slot_is_held(
    pair: tuple[socket.socket, Reader],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError | None,
    reports: list[str],
) -> None:
    """The close can hang as well."""
    ours, _ = pair
    said: list[str] = []
    monkeypatch.setattr(get, "report_shrunk", lambda *_: said.append("shrunk"))
    monkeypatch.setattr(get, "report", lambda *_: said.append("error"))
    (tmp_path / "file").write_bytes(bytes(100))
    fd, left = os.open(tmp_path / "file", os.O_RDONLY), []
    device: Any = Mock()
    device.leave = lambda *_: left.append(is_open(fd))
    session: Any = SimpleNamespace(
        sock=ours, note_sent=lambda _: None, peer=lambda: "a client", turn_at=0.0, errno=0
    )
    download = Download(b"dev1/a", fd, b"", Span(0, 200), True, device)
    if error is not None:
        monkeypatch.setattr(get, "sendfile", Mock(side_effect=error))
    if isinstance(error, ConnectionResetError):
        with pytest.raises(ConnectionResetError):
            download.advance(session, cast("Any", None))
    else:
        assert download.advance(session, cast("Any", None)) is Next.CLOSE
    assert (left, said) == ([False], reports)
    assert session.errno == (error.errno or 0 if isinstance(error, FileError) else 0)
    ended(ours, pair[1])
