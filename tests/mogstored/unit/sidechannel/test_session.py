"""A session under conditions that a test of a whole node cannot arrange."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from mogpoll import Next
from mogstored.devices.slots import READ
from mogstored.files import digests, disk_errors
from mogstored.files.digests import SLICE_SIZE, FileDigest
from mogstored.files.docroot import Docroot
from mogstored.log import rate_limit
from mogstored.log.rate_limit import KeyedRateLimiter
from mogstored.observability.counters import ThreadCounters
from mogstored.sidechannel import checksum, commands
from mogstored.sidechannel.lines import MAX_LINE
from mogstored.sidechannel.lookup import Target
from tests.support.clock import stop_clock_of_lines
from tests.support.sidechannel_rig import Rig
from tests.support.sockets import fill_for_good, reset
from tests.support.threads import join
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"content of the file"
MD5 = hashlib.md5(CONTENT).hexdigest().encode()
OK = b"/dev1/f MD5=%b\r\n" % MD5


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as rig:
        rig.write("/dev1/f", CONTENT)
        yield rig


class Gate:
    """Stands in for a disk: reads wait until the test lets them, and are counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, shut: bool = True) -> None:
        self._lock = threading.Condition()
        self._may_pass = not shut
        self.inside = 0
        self.most_inside = 0
        self.begun = 0
        real = FileDigest.read_slice

        def read_slice(*args: Any) -> bool:
            with self._inside():
                return real(*args)

        monkeypatch.setattr(FileDigest, "read_slice", read_slice)

    def open(self) -> None:
        with self._lock:
            self._may_pass = True
            self._lock.notify_all()

    @contextmanager
    def _inside(self) -> Iterator[None]:
        with self._lock:
            self.begun += 1
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            assert self._lock.wait_for(lambda: self._may_pass, 30.0)
        try:
            yield
        finally:
            with self._lock:
                self.inside -= 1


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


def test_checking_digests_of_one_file_system_take_turns(rig: Rig, gate: Gate) -> None:
    clients = [rig.connect() for _ in range(4)]
    for client in clients:
        client.send(b"MD5 /dev1/f fsck\r\n" * 3)
    wait_until(lambda: gate.begun == 1, "the first one reads")
    gate.open()
    for client in clients:
        assert client.read_lines(3) == [OK] * 3
    assert gate.most_inside == 1


def test_digests_for_other_reasons_do_not_take_turns(rig: Rig, gate: Gate) -> None:
    clients = [rig.connect() for _ in range(3)]
    for client in clients:
        client.send(b"MD5 /dev1/f repl\r\n")
    wait_until(lambda: gate.inside == 3, "three read at a time")
    gate.open()
    assert [client.read_line() for client in clients] == [OK] * 3


def test_check_that_is_given_up_twice_passes_one_turn_on(
    rig: Rig, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second turn would let two checks read at the same time."""
    turns: list[object] = []
    leave = rig.service.fsck_queue.leave

    def note_turn(file_system: Any) -> None:
        turns.append(file_system)
        leave(file_system)

    monkeypatch.setattr(rig.service.fsck_queue, "leave", note_turn)
    rig.connect().send(b"MD5 /dev1/f fsck\r\n")
    wait_until(lambda: gate.inside == 1, "it reads")
    session = rig.sessions[-1]
    work = session.work
    assert work is not None
    gate.open()
    wait_until(lambda: session.work is None, "it has ended")
    for _ in range(2):
        work.abandon(session)
    assert len(turns) == 1


def test_other_digest_passes_the_queue_of_checks(rig: Rig, gate: Gate) -> None:
    checking = [rig.connect() for _ in range(2)]
    for client in checking:
        client.send(b"MD5 /dev1/f fsck\r\n")
    wait_until(lambda: gate.inside == 1, "one reads")
    other = rig.connect()
    other.send(b"MD5 /dev1/f\r\n")
    wait_until(lambda: gate.inside == 2, "the other one reads beside it")
    gate.open()
    assert other.read_line() == OK


def test_client_that_reads_nothing_does_not_keep_the_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket is not writable, and other digests do not wait for that."""
    monkeypatch.setattr(digests, "SLICE_SIZE", 1)
    silent = rig.connect(buffers=4096)
    session = rig.sessions[-1]
    fill_for_good(session.sock, b"x")
    silent.send(b"MD5 /dev1/f fsck\r\n")
    wait_until(lambda: session.work is not None or session._unsent, "its digest has begun")
    assert rig.connect().ask(b"MD5 /dev1/f fsck") == OK


def test_check_of_a_long_file_leaves_its_thread_to_others_between_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, begun = threading.Event(), threading.Event()

    def read_slice(*_arguments: object) -> bool:
        begun.set()
        return over.wait(0.01)

    monkeypatch.setattr(FileDigest, "read_slice", read_slice)
    with Rig(tmp_path, devices=2, threads=1) as rig:
        rig.write("/dev1/f", CONTENT)
        checking = rig.connect()
        checking.send(b"MD5 /dev1/f fsck\r\n")
        wait_until(begun.is_set, "it reads")
        try:
            assert rig.connect().ask(b"size /dev2/none") == b"/dev2/none -1\r\n"
        finally:
            over.set()
        assert checking.read_line().startswith(b"/dev1/f MD5=")


def test_waiting_client_that_disconnects_is_passed_over(rig: Rig, gate: Gate) -> None:
    first, gone, last = (rig.connect() for _ in range(3))
    first.send(b"MD5 /dev1/f fsck\r\n")
    wait_until(lambda: gate.inside == 1, "the first one reads")
    for client in (gone, last):
        client.send(b"MD5 /dev1/f fsck\r\n" * 2)
    wait_until(lambda: len(rig.waiting_for_their_turn()) == 2, "two wait")
    gone.close()
    gate.open()
    assert first.read_line() == OK
    assert last.read_lines(2) == [OK] * 2
    wait_until(lambda: rig.service.clients.count() == 2, "the connection is closed")
    # Nothing was read for the client that had gone.
    assert gate.begun == 3


class Occupant:
    """A task that holds the slot until the test leaves it."""

    has_slot = False
    waited_s = 0.0

    def step(self, _buffers: object) -> Next:
        return Next.PARKED


def test_file_of_a_dropped_client_is_closed_with_a_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SLICE_SIZE", 1)
    with Rig(tmp_path, slots=1) as rig:
        rig.write("/dev1/f", CONTENT)
        gate = Gate(monkeypatch)
        client = rig.connect()
        (session,) = rig.sessions
        client.send(b"MD5 /dev1/f fsck\r\n")
        wait_until(lambda: gate.inside == 1, "it reads")
        assert isinstance(session.work, checksum.Checksum)
        digest = session.work._digest
        assert digest is not None
        device = session.work._target.device
        occupant: Any = Occupant()
        assert not device.enter(occupant)
        gate.open()
        wait_until(lambda: device.parked() == [session], "it waits for the slot again")
        assert device.cancel({session}) == 1
        client.read_eof()
        assert digest._fd >= 0
        assert rig.service.clients.count() == 1
        device.leave(READ, 0.0)
        wait_until(lambda: rig.service.clients.count() == 0, "what it left behind is cleaned up")
        assert digest._fd < 0
        # Its turn has passed on.
        assert rig.connect().ask(b"MD5 /dev1/f fsck") == OK


@pytest.mark.parametrize("command", [b"size /dev1/f\r\n", b"MD5 /dev1/f\r\n"])
def test_client_that_is_dropped_before_its_turn_leaves_nothing_behind(
    tmp_path: Path, command: bytes
) -> None:
    with Rig(tmp_path, slots=1) as rig:
        device = rig.service.devices.of(b"dev1/f")
        occupant: Any = Occupant()
        assert device.enter(occupant)
        client = rig.connect()
        client.send(command)
        wait_until(lambda: device.parked() == rig.sessions, "it waits for the slot")
        assert device.cancel(set(rig.sessions)) == 1
        client.read_eof()
        wait_until(lambda: rig.service.clients.count() == 0, "its connection is closed")
        device.leave(READ, 0.0)


def test_queue_is_open_during_a_graceful_stop(rig: Rig, gate: Gate) -> None:
    clients = [rig.connect() for _ in range(3)]
    for client in clients:
        client.send(b"MD5 /dev1/f fsck\r\n")
    wait_until(lambda: len(rig.waiting_for_their_turn()) == 2, "two wait")
    assert gate.inside == 1
    stopping = rig.drain()
    wait_until(lambda: gate.inside == 3, "all read")
    gate.open()
    for client in clients:
        assert client.read_line() == OK
        client.read_eof()
    join(stopping)


def test_hung_device_holds_its_slots_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    inside: list[bytes] = []
    real = Docroot.open_read

    def open_read(docroot: Docroot, path: bytes) -> int:
        if path.startswith(b"dev1/"):
            inside.append(path)
            assert answers.wait(10.0)
        return real(docroot, path)

    monkeypatch.setattr(Docroot, "open_read", open_read)
    with Rig(tmp_path, devices=2, threads=4, slots=2) as rig:
        for number in (1, 2):
            rig.write(f"/dev{number}/f", CONTENT)
        hanging = [rig.connect() for _ in range(6)]
        for client in hanging:
            client.send(b"MD5 /dev1/f\r\nsize /dev2/f\r\n")
        wait_until(lambda: len(inside) == 2, "both slots are taken")
        other = rig.connect()
        assert other.ask(b"MD5 /dev2/f fsck") == b"/dev2/f MD5=%b\r\n" % MD5
        assert other.ask(b"size /dev2/f") == b"/dev2/f %d\r\n" % len(CONTENT)
        assert len(inside) == 2
        answers.set()
        for client in hanging:
            assert client.read_lines(2) == [OK, b"/dev2/f %d\r\n" % len(CONTENT)]


def test_size_waits_for_a_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    inside: list[bytes] = []
    real = Docroot.stat

    def stat(docroot: Docroot, path: bytes) -> os.stat_result:
        inside.append(path)
        assert answers.wait(10.0)
        return real(docroot, path)

    monkeypatch.setattr(Docroot, "stat", stat)
    with Rig(tmp_path, slots=1) as rig:
        rig.write("/dev1/f", CONTENT)
        clients = [rig.connect() for _ in range(3)]
        for client in clients:
            client.send(b"size /dev1/f\r\n")
        wait_until(lambda: len(inside) == 1, "the slot is taken")
        answers.set()
        for client in clients:
            assert client.read_line() == b"/dev1/f %d\r\n" % len(CONTENT)


def test_long_digest_lets_others_in_between(tmp_path: Path) -> None:
    with Rig(tmp_path, threads=1) as rig:
        path = rig.write("/dev1/large", b"")
        os.truncate(path, SLICE_SIZE * 40)
        rig.write("/dev1/f", CONTENT)
        slow, quick = rig.connect(), rig.connect()
        slow.send(b"MD5 /dev1/large\r\n")
        wait_until(lambda: rig.sessions[0].work is not None, "the long one has begun")
        assert quick.ask(b"MD5 /dev1/f") == OK
        assert rig.sessions[0].work is not None, "the long one is done already"
        slow.close()


@pytest.mark.parametrize("reason", [b"", b" fsck"], ids=["plain", "fsck"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_digest_is_given_up_when_its_client_leaves(
    rig: Rig, gate: Gate, reason: bytes, end: str
) -> None:
    os.truncate(rig.write("/dev1/large", b""), SLICE_SIZE * 1000)
    before = psutil.Process().num_fds()
    client = rig.connect()
    client.send(b"MD5 /dev1/large%b\r\n" % reason)
    wait_until(lambda: gate.inside == 1, "it reads")
    client.close() if end == "close" else reset(client.sock)
    gate.open()
    wait_until(lambda: rig.service.clients.count() == 0, "the connection is closed")
    assert gate.begun < 10
    # Neither the connection nor the file is left.
    assert psutil.Process().num_fds() == before
    # Its turn has passed on.
    assert rig.connect().ask(b"MD5 /dev1/f fsck") == OK


@pytest.mark.parametrize(("command", "lowered"), [(b"MD5 /dev1/f", 0), (b"MD5 /dev1/f fsck", 1)])
def test_disk_is_checked_with_low_priority(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, command: bytes, lowered: int
) -> None:
    entered: list[str] = []

    @contextmanager
    def lower() -> Iterator[None]:
        entered.append("lowered")
        yield
        entered.append("restored")

    monkeypatch.setattr(checksum, "lowered_io_priority", lower)
    assert rig.connect().ask(command) == OK
    assert entered == ["lowered", "restored"] * lowered


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_no_descriptor_left_is_tried_again_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    attempts: list[str] = []
    real = Docroot.open_read

    def open_read(docroot: Docroot, path: bytes) -> int:
        attempts.append("open")
        if attempts[-2:-1] != ["relieve"]:
            raise OSError(number, os.strerror(number))
        return real(docroot, path)

    def relieve() -> bool:
        attempts.append("relieve")
        return True

    monkeypatch.setattr(Docroot, "open_read", open_read)
    monkeypatch.setattr(rig.service.clients, "relieve", relieve)
    assert rig.connect().ask(b"MD5 /dev1/f") == OK
    assert attempts == ["open", "relieve", "open"]


def test_no_descriptor_left_for_good(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_read(_docroot: Docroot, _path: bytes) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Docroot, "open_read", open_read)
    client = rig.connect()
    assert client.ask(b"SHA-1 /dev1/f fsck") == b"/dev1/f SHA-1=-1\r\n"
    monkeypatch.undo()
    assert client.ask(b"MD5 /dev1/f fsck") == OK


@pytest.mark.parametrize("reason", [b"", b" fsck"], ids=["plain", "fsck"])
def test_read_error_says_at_which_byte(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, reason: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk_errors, "_lines", KeyedRateLimiter(interval_s=3600.0))
    real = os.readv

    def readv(fd: int, buffers: Any) -> int:
        if os.lseek(fd, 0, os.SEEK_CUR):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, buffers)

    monkeypatch.setattr(os, "readv", readv)
    client = rig.connect()
    assert client.ask(b"") == b"\r\n"
    expected = b"ERR read /dev1/f at %d failed\r\n" % len(CONTENT)
    before = psutil.Process().num_fds()
    assert client.ask(b"MD5 /dev1/f%b" % reason) == expected
    assert psutil.Process().num_fds() == before
    assert rig.service.devices.of(b"dev1/f").errors.counts() == {("digest", "EIO"): 1}
    (message,) = caplog.messages
    assert re.fullmatch(
        r"MD5 /dev1/f from 127\.0\.0\.1:\d+ failed: Input/output error \(EIO\)", message
    )
    monkeypatch.undo()
    assert client.ask(b"MD5 /dev1/f fsck") == OK


@pytest.mark.parametrize(
    ("is_begun", "reply"),
    [(True, b"/dev1/f MD5=-1\r\n"), (False, b"ERR read /dev1/f at 0 failed\r\n")],
)
def test_error_after_the_reply_was_begun_ends_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, is_begun: bool, reply: bytes
) -> None:
    """A client that sends no more gets the begin of the line ahead."""
    client = rig.connect()
    (session,) = rig.sessions
    slices: list[None] = []

    def has_ended() -> bool:
        try:
            return not session.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False

    def read_slice(*_arguments: object) -> bool:
        if slices:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        slices.append(None)
        if is_begun:
            client.sock.shutdown(socket.SHUT_WR)
            wait_until(has_ended, "its end is there")
        return False

    with monkeypatch.context() as failing:
        failing.setattr(FileDigest, "read_slice", read_slice)
        client.send(b"MD5 /dev1/f\r\nsize /dev1/f\r\n")
        assert client.read_line() == reply
    # What was sent ahead is no part of the next reply.
    assert client.read_line() == b"/dev1/f %d\r\n" % len(CONTENT)
    if is_begun:
        client.read_eof()


@pytest.mark.parametrize("reason", [b"", b" fsck"], ids=["plain", "fsck"])
def test_digest_of_a_folder_fails_and_leaves_nothing_open(rig: Rig, reason: bytes) -> None:
    client = rig.connect()
    assert client.ask(b"") == b"\r\n"
    before = psutil.Process().num_fds()
    assert client.ask(b"MD5 /dev1%b" % reason) == b"ERR read /dev1 at 0 failed\r\n"
    assert psutil.Process().num_fds() == before
    assert client.ask(b"MD5 /dev1/f fsck") == OK


def test_nothing_is_looked_up_on_a_device_that_is_down(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked_up: list[Target] = []
    monkeypatch.setattr(Target, "size", looked_up.append)
    monkeypatch.setattr(Target, "open", looked_up.append)
    monkeypatch.setattr(rig.service.devices.of(b"dev1/f"), "is_down", True)
    client = rig.connect()
    assert client.ask(b"size /dev1/f") == b"/dev1/f -1\r\n"
    assert client.ask(b"MD5 /dev1/f") == b"/dev1/f MD5=-1\r\n"
    assert client.ask(b"SHA-256 /dev1/f fsck") == b"/dev1/f SHA-256=-1\r\n"
    assert (looked_up, caplog.messages) == ([], [])


def test_unread_replies_hold_the_commands_back(rig: Rig) -> None:
    client = rig.connect(buffers=4096)
    command = b"size /dev1/f\r\n"
    reply = b"/dev1/f %d\r\n" % len(CONTENT)
    sent = fill_for_good(client.sock, command * 1000)
    client.sock.settimeout(10.0)
    replies = sent // len(command)
    received = client.read_exactly(replies * len(reply))
    assert received == reply * replies


def test_session_is_never_expired(rig: Rig) -> None:
    client = rig.connect()
    rig.sessions[0].active_at -= 3600
    rig.service.clients.relieve()
    assert client.ask(b"MD5 /dev1/f") == OK


def test_number_of_threads_is_passed_on(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mogstored")
    client = rig.connect()
    for command in (b"server aio_threads = 3", b"server aio_threads=0", b"server aio_threads 9"):
        client.ask(command)
    assert client.ask(b"server aio_threads = 1000") == b"ERROR: aio_threads must be 1 to 100\r\n"
    assert rig.threads_asked == [3]
    assert caplog.messages == ["server aio_threads=3"]


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["no end", "whole line"])
def test_line_that_is_too_long_is_answered_with_a_reset(
    rig: Rig, end: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    monkeypatch.setattr(rate_limit, "monotonic", lambda: now)
    monkeypatch.setattr(commands._complaints, "_due_at", 0.0)
    peers = []
    for second in (1000.0, 1000.9, 1001.0):
        now = second
        client = rig.connect()
        peers.append(rig.sessions[-1].peer())
        client.send(b"size /dev1/f\r\n" + b"x" * (MAX_LINE + 1) + end)
        with pytest.raises(ConnectionResetError):
            client.read_lines(2)
    # One a second.
    assert caplog.messages == [f"mgmt request too large from {peer}" for peer in peers[::2]]


def test_each_command_is_counted_by_its_name(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    monkeypatch.setattr(ThreadCounters, "note_command", lambda _self, name: counted.append(name))
    client = rig.connect()
    for command in (b"size /dev1/f", b"MD5 /dev1/f", b"SHA-1 /dev1/f", b"server aio_threads=3"):
        client.ask(command)
    assert client.ask(b"hello world") == b"ERROR: unknown command: hello\r\n"
    assert client.ask(b"") == b"\r\n"
    client.send(b"shutdown\r\n")
    assert rig.stop_asked.wait(10.0)
    client.send(b"watch\r\n")
    rig.wait_for_watchers(1)
    assert counted == [
        *("size", "MD5", "SHA-1", "aio_threads", "other", "other", "shutdown", "watch"),
    ]


def test_session_is_idle_between_commands_only(rig: Rig, gate: Gate) -> None:
    client = rig.connect()
    (session,) = rig.sessions
    assert session.is_idle()
    client.send(b"MD5")
    wait_until(lambda: not session.is_idle(), "a line has begun")
    client.send(b" /dev1/f\r\n")
    wait_until(lambda: gate.inside == 1, "it reads")
    assert not session.is_idle()
    gate.open()
    assert client.read_line() == OK
    wait_until(session.is_idle, "the command is done")


def test_last_commands_are_answered_during_a_stop(rig: Rig, gate: Gate) -> None:
    client, half = rig.connect(), rig.connect()
    client.send(b"MD5 /dev1/f\r\nsize /dev1/f\r\n")
    half.send(b"size /dev")
    wait_until(lambda: gate.inside == 1, "it reads")
    wait_until(lambda: len(rig.sessions[1].lines) == 9, "half a line has come")
    stopping = rig.drain()
    gate.open()
    assert client.read_lines(2) == [OK, b"/dev1/f %d\r\n" % len(CONTENT)]
    client.read_eof()
    half.send(b"1/f\r\n")
    assert half.read_line() == b"/dev1/f %d\r\n" % len(CONTENT)
    half.read_eof()
    join(stopping)


def test_shutdown_is_passed_on_without_a_reply(rig: Rig) -> None:
    client = rig.connect()
    client.send(b"shutdown\r\n")
    assert rig.stop_asked.wait(10.0)
    client.expect_silence()
    rig.drain()
    client.read_eof()


def test_number_of_threads_is_not_logged_without_end(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = stop_clock_of_lines(monkeypatch, 1000.0, commands._changes)
    caplog.set_level("INFO", "mogstored")
    client = rig.connect()
    for number in range(1, 26):
        client.ask(b"server aio_threads = %d" % number)
    assert len(rig.threads_asked) == 25
    assert len(caplog.messages) == 20
    now[0] += 1.0
    client.ask(b"server aio_threads = 7")
    assert len(caplog.messages) == 21


@pytest.mark.parametrize("command", [b"size /dev1/f", b"MD5 /dev1/f"])
@pytest.mark.parametrize(
    ("number", "is_logged"),
    [(errno.EACCES, True), (errno.EIO, True), (errno.ENOENT, False), (errno.ENOTDIR, False)],
)
def test_trouble_of_the_disk_is_logged(
    rig: Rig,
    command: bytes,
    number: int,
    is_logged: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_target: Target) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk_errors, "_lines", KeyedRateLimiter(interval_s=3600.0))
    monkeypatch.setattr(Target, "size", fail)
    monkeypatch.setattr(Target, "open", fail)
    client = rig.connect()
    for _ in range(3):
        assert client.ask(command).rstrip().endswith(b"-1")
    attempt = command.decode().partition(" ")[0]
    name = errno.errorcode[number]
    operation = "read" if attempt == "size" else "digest"
    assert [
        (
            re.sub(r":\d+ failed", " failed", record.message),
            record.__dict__["operation"],
            record.__dict__["errno"],
        )
        for record in caplog.records
    ] == (
        [
            (
                f"{attempt} /dev1/f from 127.0.0.1 failed: {os.strerror(number)} ({name})",
                operation,
                name,
            )
        ]
        if is_logged
        else []
    )
    assert rig.service.devices.of(b"dev1/f").errors.counts() == (
        {(operation, name): 3} if is_logged else {}
    )
