"""Messages to a reader that is slow, stopped or away: kept in order, bounded, counted."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import sys
import threading
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogstored.log import sinks
from mogstored.log.bounded_writer import BoundedWriter, FlushResult
from mogstored.log.sinks import Syslog, open_descriptor
from tests.support.descriptors import open_numbers
from tests.support.threads import is_held, join
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mogstored.log.bounded_writer import Sink

LINES = [b"line %d\n" % number for number in range(20)]


def loss(count: int) -> bytes:
    return b"%d lost\n" % count


class Slow:
    """A sink with room for so many messages."""

    def __init__(self) -> None:
        self.room = 0
        self.taken: list[bytes] = []

    def take(self, message: bytes) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.taken.append(message)
        return True

    def finish(self) -> bool:
        return True

    def abandon(self) -> None:
        pass

    close = reopen = abandon


def test_messages_are_kept_in_order_and_offered_again() -> None:
    sink = Slow()
    writer = BoundedWriter(sink, loss)
    pending: list[None] = []
    writer.on_pending = lambda: pending.append(None)
    sink.room = 1
    for line in LINES:
        writer.write(line)
    assert len(pending) == len(LINES) - 1
    sink.room = 5
    assert writer.flush() is FlushResult.FULL
    sink.room = 100
    assert writer.flush() is FlushResult.DONE
    assert sink.taken == LINES


def test_finalizer_that_logs_while_a_message_is_sent_does_not_wait_for_it() -> None:
    sink = Slow()
    sink.room = 100
    writer = BoundedWriter(sink, loss)

    def collect(message: bytes) -> bool:
        if message == LINES[0]:
            writer.write(LINES[1])
        return Slow.take(sink, message)

    sink.take = collect  # type: ignore[method-assign]
    thread = threading.Thread(target=writer.write, args=(LINES[0],), daemon=True)
    thread.start()
    join(thread)
    assert writer.flush() is FlushResult.DONE
    assert sink.taken == LINES[:2]


def test_what_is_beyond_the_bound_is_counted_where_it_is_missing() -> None:
    sink = Slow()
    writer = BoundedWriter(sink, loss, max_bytes=3 * len(LINES[0]))
    for line in LINES[:5]:
        writer.write(line)
    sink.room = 1
    writer.flush()
    sink.room = 0
    writer.write(LINES[5])
    sink.room = 100
    writer.write(LINES[6])
    assert sink.taken == [*LINES[:3], b"2 lost\n", LINES[5], LINES[6]]


def test_loss_is_said_without_another_message() -> None:
    sink = Slow()
    writer = BoundedWriter(sink, loss, max_bytes=len(LINES[0]))
    for line in LINES[:4]:
        writer.write(line)
    assert writer.lost == 3
    sink.room = 100
    assert writer.flush() is FlushResult.DONE
    assert sink.taken == [LINES[0], b"3 lost\n"]
    assert writer.lost == 3


def test_notice_is_no_lost_message() -> None:
    """Of a reader that is gone each message is counted once, and the notices are not."""
    sink = Slow()
    writer = BoundedWriter(sink, loss, keeps_unreachable=False, max_bytes=2 * len(LINES[0]))

    def fail(message: bytes) -> bool:
        raise BrokenPipeError

    sink.take = fail  # type: ignore[method-assign]
    for line in LINES[:5]:
        writer.write(line)
    assert writer.lost == 5
    del sink.take
    sink.room = 100
    writer.write(LINES[5])
    assert sink.taken == [b"5 lost\n", LINES[5]]
    assert writer.lost == 5


def test_finalizer_that_logs_while_a_loss_is_counted_loses_nothing() -> None:
    sink = Slow()
    writer = BoundedWriter(sink, loss, keeps_unreachable=False)

    class Collects(int):
        """A line at which a finalizer runs."""

        def __bool__(self) -> bool:
            writer.write(LINES[1])
            return False

    writer.write(LINES[0])
    writer._kept[0] = (LINES[0], Collects(0))

    def fail(message: bytes) -> bool:
        raise BrokenPipeError

    sink.take = fail  # type: ignore[method-assign]
    assert writer.flush() is FlushResult.DONE
    assert writer.lost == 1
    del sink.take
    sink.room = 100
    assert writer.flush() is FlushResult.DONE
    assert sink.taken == [LINES[1], b"1 lost\n"]


def test_what_was_lost_takes_no_room() -> None:
    sink = Slow()
    writer = BoundedWriter(sink, loss, keeps_unreachable=False, max_bytes=3 * len(LINES[0]))

    def fail(message: bytes) -> bool:
        raise BrokenPipeError

    sink.take = fail  # type: ignore[method-assign]
    writer.write(LINES[0])
    del sink.take
    # With the notice, which is as long.
    writer.write(LINES[1])
    writer.write(LINES[2])
    assert writer.lost == 1
    writer.write(LINES[3])
    assert writer.lost == 2


def test_message_that_is_kept_is_not_lost_if_waking_the_main_thread_fails() -> None:
    sink = Slow()
    writer = BoundedWriter(sink, loss)

    def fail() -> None:
        raise ValueError("the waker is closed")

    writer.on_pending = fail
    writer.write(LINES[0])
    assert writer.lost == 0
    sink.room = 1
    assert writer.flush() is FlushResult.DONE
    assert sink.taken == LINES[:1]


def test_message_that_is_lost_is_counted_once_if_waking_the_main_thread_fails() -> None:
    writer = BoundedWriter(Slow(), loss, max_bytes=1)
    writer.write(LINES[0])

    def fail() -> None:
        raise ValueError("the waker is closed")

    writer.on_pending = fail
    writer.write(LINES[1])
    assert writer.lost == 1


def test_messages_up_to_the_bound_are_kept_and_none_is_too_long_alone() -> None:
    sink = Slow()
    writer = BoundedWriter(sink, loss, max_bytes=2 * len(LINES[0]))
    for line in (LINES[0], LINES[1], b"", b"x"):
        writer.write(line)
    assert writer.lost == 1
    sink.room = 100
    writer.flush()
    # What was sent makes room.
    sink.room = 0
    writer.write(b"x" * 1000)
    assert writer.lost == 1
    writer.forget()
    assert writer.lost == 0
    writer.write(LINES[2])
    writer.write(LINES[3])
    assert writer.lost == 0


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM])
def test_reader_without_room_is_no_reader_that_is_gone(
    tmp_path: Path, syslog: Syslog, number: int
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(PATIENCE_S)
        assert syslog.take(b"first")
        assert sock.recv(100) == b"first"
        real = syslog._sock
        sent: list[bytes] = []

        def send(data: bytes) -> int:
            sent.append(bytes(data))
            raise OSError(number, os.strerror(number))

        syslog._sock = cast("Any", SimpleNamespace(send=send, type=socket.SOCK_DGRAM))
        assert not syslog.take(b"second")
        assert sent == [b"second"]
        syslog._sock = real
        assert syslog.take(b"third")
        assert sock.recv(100) == b"third"


@pytest.mark.parametrize(
    ("number", "kinds"),
    [
        (errno.ENOENT, [socket.SOCK_DGRAM]),
        (errno.EPROTOTYPE, [socket.SOCK_DGRAM, socket.SOCK_STREAM]),
    ],
)
def test_log_of_another_type_is_tried_as_a_stream(
    syslog: Syslog, monkeypatch: pytest.MonkeyPatch, number: int, kinds: list[int]
) -> None:
    tried: list[int] = []

    def connect(kind: int) -> socket.socket:
        tried.append(kind)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(syslog, "_connect_as", connect)
    with pytest.raises(OSError, match=os.strerror(number)):
        syslog.take(b"one")
    assert tried == kinds


def test_log_with_another_path_is_found_at_the_next_reopen(tmp_path: Path, syslog: Syslog) -> None:
    """A rotated or replaced socket: what is sent next goes to the one that has the name."""
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as old:
        old.bind(str(path))
        assert syslog.take(b"one")
        path.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as new:
            new.bind(str(path))
            new.settimeout(PATIENCE_S)
            assert syslog.take(b"two")
            syslog.reopen()
            assert syslog.take(b"three")
            assert new.recv(100) == b"three"
        old.settimeout(PATIENCE_S)
        assert [old.recv(100), old.recv(100)] == [b"one", b"two"]


def test_log_of_the_system_is_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = (str(tmp_path / "log"), str(tmp_path / "run"))
    monkeypatch.setattr(sinks, "_SYSLOG_SOCKETS", paths)
    assert sinks.find_syslog() == paths[0]
    (tmp_path / "run").touch()
    assert sinks.find_syslog() == paths[1]
    (tmp_path / "log").touch()
    assert sinks.find_syslog() == paths[0]


def test_message_that_cannot_be_kept_is_lost() -> None:
    sink = Slow()
    writer = BoundedWriter(sink, loss)
    sink.finish = lambda: 1 // 0 == 0  # type: ignore[method-assign]
    writer.write(LINES[0])
    assert writer.lost == 1


def test_forked_child_leaves_to_its_parent_what_was_kept() -> None:
    sink = Slow()
    writer = BoundedWriter(sink, loss, max_bytes=1)
    writer.write(LINES[0])
    writer.write(LINES[1])
    abandoned: list[None] = []
    sink.abandon = lambda: abandoned.append(None)  # type: ignore[method-assign]
    writer.forget()
    # The rest of one that was sent in part, too.
    assert abandoned == [None]
    sink.room = 100
    writer.write(LINES[2])
    assert sink.taken == [LINES[2]]


def fill(fd: int) -> int:
    """Fill a pipe or stream; return how many bytes that took."""
    is_blocking = os.get_blocking(fd)
    os.set_blocking(fd, False)
    filled = 0
    for size in (4096, 1):
        try:
            while True:
                filled += os.write(fd, b"x" * size)
        except BlockingIOError:
            pass
    os.set_blocking(fd, is_blocking)
    return filled


@pytest.mark.parametrize("call", ["close", "reopen"])
def test_sink_is_closed_and_reopened_under_the_lock_of_its_use(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    sink = Slow()
    writer = BoundedWriter(sink, loss)
    held: list[bool] = []
    monkeypatch.setattr(sink, call, lambda: held.append(is_held(writer._lock)))
    getattr(writer, call)()
    assert held == [True]


@pytest.fixture(params=["pipe", "polled pipe", "stream socket"])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The kinds of stderr: the reader's end, and the writer's, which blocks."""
    if request.param == "stream socket":
        left, right = socket.socketpair()
        fds = [left.detach(), right.detach()]
    else:
        fds = list(os.pipe())
    if request.param == "polled pipe":
        # As on systems where opening /dev/fd/N duplicates the descriptor.
        monkeypatch.setattr(sinks, "_open_again", lambda _fd: None)
    yield fds
    for fd in fds:
        os.close(fd)


def read_all(fd: int, size: int) -> bytes:
    found = b""
    while len(found) < size:
        assert select.select([fd], [], [], 10.0)[0], f"only {len(found)} bytes came"
        found += os.read(fd, size - len(found))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each write is polled for")
def test_pipe_is_written_through_an_open_file_of_its_own() -> None:
    """Otherwise two processes that write at the same moment may wait for the reader."""
    ends = os.pipe()
    before = open_numbers()
    sink = open_descriptor(ends[1])
    (own,) = open_numbers() - before
    assert (os.get_blocking(own), os.get_blocking(ends[1])) == (False, True)
    sink.close()
    assert open_numbers() == before
    for fd in ends:
        os.close(fd)


def test_stderr_that_is_not_read_blocks_no_writer(ends: list[int]) -> None:
    reader, stderr = ends
    filled = fill(stderr)
    flags = fcntl.fcntl(stderr, fcntl.F_GETFL)
    with closing(BoundedWriter(open_descriptor(stderr), loss)) as writer:
        # Longer than one write.
        messages = [b"a" * 300_000 + b"\n", *LINES]
        writing = threading.Thread(target=lambda: list(map(writer.write, messages)))
        writing.start()
        join(writing)
        assert fcntl.fcntl(stderr, fcntl.F_GETFL) == flags
        assert read_all(reader, filled) == b"x" * filled
        expected = messages[0] + loss(len(LINES))
        got = b""
        while len(got) < len(expected):
            writer.flush()
            got += read_all(reader, min(4096, len(expected) - len(got)))
        assert got == expected
        assert writer.flush() is FlushResult.DONE
        writer.write(LINES[0])
        assert read_all(reader, len(LINES[0])) == LINES[0]
        assert fcntl.fcntl(stderr, fcntl.F_GETFL) == flags


def test_stderr_whose_reader_is_gone_loses_at_once() -> None:
    reader, stderr = os.pipe()
    with closing(BoundedWriter(open_descriptor(stderr), loss, keeps_unreachable=False)) as writer:
        os.close(reader)
        writer.write(LINES[0])
        assert writer.flush() is FlushResult.DONE
    os.close(stderr)


def test_descriptor_that_is_a_mere_duplicate_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where opening /dev/fd/N gives the same open file."""
    ends = os.pipe()
    monkeypatch.setattr(os, "get_blocking", lambda _fd: True)
    before = open_numbers()
    assert sinks._open_again(ends[1]) is None
    assert open_numbers() == before
    for fd in ends:
        os.close(fd)


def test_descriptor_of_its_own_is_closed_once() -> None:
    ends, own = os.pipe(), os.dup(0)
    sink = sinks._Descriptor(ends[1], own)
    sink.close()
    # Of another, by now.
    assert os.dup(ends[1]) == own
    sink.close()
    for fd in (*ends, own):
        os.close(fd)


class Stream(sinks._Stream):
    """Takes so many bytes each time, or fails."""

    def __init__(self, *results: int | OSError) -> None:
        super().__init__()
        self.results = list(results)
        self.sent = b""

    def _send(self, data: memoryview) -> int:
        result = self.results.pop(0) if self.results else len(data)
        if isinstance(result, OSError):
            raise result
        self.sent += data[:result]
        return result


FULL = BlockingIOError(errno.EAGAIN, "full")
GONE = BrokenPipeError(errno.EPIPE, "gone")


def test_message_is_taken_with_its_first_byte() -> None:
    stream = Stream(1, FULL, FULL)
    assert stream.take(b"one")
    # Not before there is room for the rest.
    assert not stream.take(b"two")
    assert stream.take(b"two")
    assert stream.sent == b"onetwo"


def test_message_that_has_failed_is_not_sent_beside_the_next() -> None:
    stream = Stream(GONE, FULL)
    with pytest.raises(BrokenPipeError):
        stream.take(b"one")
    assert not stream.take(b"two")
    assert stream.take(b"three")
    assert stream.sent == b"three"


def test_message_that_fails_in_the_middle_is_sent_from_its_beginning() -> None:
    stream = Stream(2, FULL, GONE)
    assert stream.take(b"one")
    with pytest.raises(BrokenPipeError):
        stream.finish()
    assert stream.finish()
    assert stream.sent == b"onone"


def test_rest_of_a_message_is_dropped_when_it_is_abandoned() -> None:
    stream = Stream(2, FULL)
    assert stream.take(b"one")
    stream.abandon()
    assert stream.finish()
    assert stream.take(b"two")
    assert stream.sent == b"ontwo"


# Syslog.


@pytest.fixture
def syslog(tmp_path: Path) -> Iterator[Syslog]:
    with closing(Syslog(str(tmp_path / "log"))) as sink:
        yield sink


def listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)
    return listener


def test_stream_messages_end_in_nul_also_after_a_restart(tmp_path: Path, syslog: Sink) -> None:
    path = tmp_path / "log"
    writer = BoundedWriter(syslog, loss)
    for _ in range(2):
        writer.write(b"one")
        with listen(path) as listener:
            writer.write(b"two")
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE_S)
                assert connection.recv(8, socket.MSG_WAITALL) == b"one\0two\0"
        path.unlink()


def test_stream_that_is_not_read_gets_whole_messages_later(tmp_path: Path, syslog: Sink) -> None:
    message = b"m" * 1000
    with listen(tmp_path / "log") as listener:
        writer = BoundedWriter(syslog, loss)
        while writer.flush() is FlushResult.DONE:
            writer.write(message)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            got = b""
            while writer.flush() is not FlushResult.DONE:
                got += connection.recv(1 << 20)
            writer.write(b"last")
            while not got.endswith(b"last\0"):
                got += connection.recv(1 << 20)
    *whole, last, rest = got.split(b"\0")
    assert set(whole) == {message}
    assert (last, rest) == (b"last", b"")


def test_stream_message_that_is_begun_again_arrives_whole(tmp_path: Path, syslog: Syslog) -> None:
    path = tmp_path / "log"
    message = b"".join(b"%07d," % number for number in range(300_000))
    with listen(path) as listener:
        assert syslog.take(message)
        listener.accept()[0].close()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        syslog.finish()
    assert syslog._sock is None
    with listen(path) as listener:
        assert not syslog.finish()
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            got = connection.recv(1 << 20)
            while not syslog.finish():
                got += connection.recv(1 << 20)
            while not got.endswith(b"\0"):
                got += connection.recv(1 << 20)
            # What comes next is the next message.
            assert syslog.take(b"next")
            while not got.endswith(b"next\0"):
                got += connection.recv(1 << 20)
    assert got == message + b"\0next\0"


def test_socket_is_closed_with_the_log(tmp_path: Path, syslog: Syslog) -> None:
    with listen(tmp_path / "log"):
        assert syslog.take(b"one")
        sock = syslog._sock
        assert sock is not None
        syslog.close()
    assert (sock.fileno(), syslog._sock) == (-1, None)


def test_message_that_is_begun_stays_with_its_reader_until_it_is_abandoned(
    tmp_path: Path, syslog: Syslog
) -> None:
    with listen(tmp_path / "log") as listener:
        assert syslog.take(b"x" * 10_000_000)
        sock = syslog._sock
        syslog.reopen()
        assert syslog._sock is sock
        syslog.abandon()
        assert syslog.finish()
        listener.accept()[0].close()
        assert syslog.take(b"two")
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            assert connection.recv(100) == b"two\0"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ECONNREFUSED, errno.EACCES])
def test_log_that_is_away_is_tried_once_a_message(
    syslog: Syslog, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    tried: list[None] = []

    def connect() -> socket.socket:
        tried.append(None)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(syslog, "_connect", connect)
    with pytest.raises(OSError, match=os.strerror(number)):
        syslog.take(b"one")
    assert len(tried) == 1


def test_log_without_room_for_a_connection_gets_the_message_later(
    tmp_path: Path, syslog: Syslog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect() -> socket.socket:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as full:
        full.setattr(syslog, "_connect", connect)
        assert not syslog.take(b"one")
    with listen(tmp_path / "log") as listener:
        assert syslog.take(b"one")
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            assert connection.recv(8) == b"one\0"


def test_datagrams_that_are_not_read_are_kept(tmp_path: Path, syslog: Sink) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(PATIENCE_S)
        writer = BoundedWriter(syslog, loss)
        count = 0
        while writer.flush() is FlushResult.DONE:
            writer.write(b"%d" % count)
            count += 1
        writer.write(b"%d" % count)
        for number in range(count + 1):
            assert sock.recv(100) == b"%d" % number
            writer.flush()


def test_datagram_that_is_too_long_is_cut(tmp_path: Path, syslog: Sink) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(PATIENCE_S)
        writer = BoundedWriter(syslog, loss)
        writer.write(b"x" * 10_000_000)
        writer.write(b"next")
        cut = sock.recv(10_000)
        assert cut == b"x" * 2000
        assert sock.recv(10_000) == b"next"
