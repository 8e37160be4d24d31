"""Which bodies are received whole before anything is stored, and what becomes of the others."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call

import pytest

from mogpoll import FileError, Next
from mogstored.connections.buffers import Buffers
from mogstored.http import put, room, statuses
from mogstored.http.message.request import BadRequest, Fields, Request
from tests.support.sockets import stream_pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

LONGEST = 128 * 1024


class Device:
    """Has one slot; what is stored there is noted."""

    name = b"dev1"
    takes_files = True

    def __init__(self) -> None:
        self.held = 0

    def try_enter(self, _task: object) -> bool:
        self.held += 1
        return self.held == 1

    def leave(self, *_: object) -> None:
        self.held -= 1


class Rig:
    """A connection whose uploads only note that they were begun."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.client, self.device, self.buffers = theirs, Device(), Buffers()
        self.begun: list[bytes] = []
        self.stored: list[bytes] = []
        self.store_whole: Any = put._store_whole
        devices = SimpleNamespace(of=lambda _: self.device)
        self.connection: Any = SimpleNamespace(
            docroot_number=0,
            get_only=False,
            has_slot=False,
            peer=lambda: "a client",
            pending=b"",
            service=SimpleNamespace(devices=devices),
            sock=ours,
            turn_at=0.0,
        )

    def put(self, size: int, pending: bytes, rest: bytes, **fields: Any) -> None:
        """Answer a PUT whose head came with `pending`; `rest` is in the socket."""
        self.connection.pending = pending
        self.client.sendall(rest)
        request = Request(b"PUT", b"dev1/a", Fields(True, content_length=size, **fields))
        assert put.answer(self.connection, request, self.buffers) is Next.READ

    def note_begun(self, connection: Any, *_: object) -> Any:
        self.begun.append(connection.pending)
        return SimpleNamespace(advance=lambda *_: Next.READ)

    def note_stored(self, _connection: Any, _path: bytes, _fields: Any, *rest: Any) -> Next:
        self.device.leave()
        self.stored.append(bytes(rest[1]))
        return Next.READ


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with stream_pair() as (ours, theirs):
        rig = Rig(ours, theirs)
        monkeypatch.setattr(put, "Upload", rig.note_begun)
        monkeypatch.setattr(put, "_store_whole", rig.note_stored)
        yield rig


@pytest.mark.parametrize("came", [0, 1, 99, 100])
def test_body_that_is_there_is_received_whole(rig: Rig, came: int) -> None:
    body = bytes(range(100))
    rig.put(100, body[:came], body[came:] + b"next"[: 100 - came])
    assert rig.stored == [body]
    assert (rig.begun, rig.connection.pending, rig.device.held) == ([], b"", 0)
    assert rig.buffers.counters.received == 100 - came


def test_request_behind_a_body_stays(rig: Rig) -> None:
    rig.put(4, b"bodyGET", b"")
    assert (rig.stored, rig.connection.pending) == ([b"body"], b"GET")


def test_body_on_its_way_goes_to_an_upload_with_its_slot(rig: Rig) -> None:
    rig.put(100, b"abc", b"def")
    assert (rig.stored, rig.begun) == ([], [b"abcdef"])
    assert (rig.connection.has_slot, rig.device.held) == (True, 1)


def test_client_that_has_ended_goes_to_an_upload(rig: Rig) -> None:
    rig.client.close()
    rig.connection.pending = b"abc"
    request = Request(b"PUT", b"dev1/a", Fields(True, content_length=9))
    assert put.answer(rig.connection, request, rig.buffers) is Next.READ
    assert rig.begun == [b"abc"]


@pytest.mark.parametrize(
    ("size", "fields"),
    [(LONGEST + 1, {}), (6, {"content_md5": b"x"}), (6, {"expects_continue": True})],
    ids=["long", "checked", "asks first"],
)
def test_other_bodies_are_left_in_the_socket(rig: Rig, size: int, fields: dict[str, Any]) -> None:
    rig.put(size, b"abc", b"def", **fields)
    assert (rig.begun, rig.device.held) == ([b"abc"], 0)


def test_nothing_is_received_for_a_device_without_a_slot(rig: Rig) -> None:
    """Clients of a disk that hangs are many, and each would hold its body in memory."""
    rig.device.held = 1
    rig.put(6, b"abc", b"def")
    assert rig.begun == [b"abc"]
    assert not rig.connection.has_slot


class Reset:
    """A socket whose client resets it after `size` bytes."""

    def __init__(self, size: int) -> None:
        self._size = size

    def recv_into(self, buffer: memoryview) -> int:
        size, self._size = self._size, 0
        if not size:
            raise ConnectionResetError(104, "Connection reset by peer")
        buffer[:size] = b"x" * size
        return size


def test_client_that_resets_is_logged_and_leaves_its_slot(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[tuple[Any, ...]] = []
    monkeypatch.setattr(statuses, "report_lost", lambda *line: lines.append(line))
    monkeypatch.setattr(put, "last_data_received_ms", lambda _: 7)
    rig.connection.sock, rig.connection.pending = Reset(4), b"abc"
    request = Request(b"PUT", b"dev1/a", Fields(True, content_length=9))
    assert put.answer(rig.connection, request, rig.buffers) is Next.CLOSE
    assert lines == [(b"dev1/a", "a client", 7, "Connection reset by peer", 7)]
    assert rig.connection.body_received == 7
    assert rig.device.held == 0


def test_upload_that_cannot_be_begun_leaves_its_slot(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(put, "Upload", refuse)
    with pytest.raises(MemoryError):
        rig.put(100, b"abc", b"def")
    assert (rig.connection.has_slot, rig.device.held) == (False, 0)


def test_client_that_cannot_be_named_leaves_its_slot(rig: Rig) -> None:
    def refuse() -> None:
        raise MemoryError

    rig.connection.peer = refuse
    with pytest.raises(MemoryError):
        rig.put(100, b"abc", b"def")
    assert rig.device.held == 0


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        # The disk was unmounted, or another one mounted over it.
        (FileError(errno.ENOENT, "gone"), 2),
        (FileError(errno.EXDEV, "elsewhere"), 2),
        (FileError(errno.EIO, "broken"), 1),
        # Another client made room.
        (OSError(errno.EMFILE, "full"), 2),
        (OSError(errno.ENOENT, "no device"), 1),
        (OSError("without a number"), 1),
    ],
)
def test_file_is_stored_once_more_where_that_may_help(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: OSError, attempts: int
) -> None:
    monkeypatch.setattr(statuses, "status_of", lambda *_: 500)
    stored = iter([error, None])
    tried: list[object] = []

    def store(*_: object) -> None:
        tried.append(rig)
        if (refusal := next(stored)) is not None:
            raise refusal

    rig.connection.service.docroot = SimpleNamespace(store=store)
    rig.connection.service.clients = SimpleNamespace(
        relieve_from=lambda refusal: refusal.errno == errno.EMFILE
    )
    rig.connection.service.guard = rig.connection.service.min_free = None
    rig.connection.service.draining = True
    rig.connection.errno = 0
    rig.connection.is_last_answer = lambda: False
    rig.connection.answer = lambda status, *_: status
    rig.connection.refuse = lambda status: status
    rig.device.note_change = lambda: None  # type: ignore[attr-defined]
    answered = rig.store_whole(rig.connection, b"dev1/a", Fields(True), rig.device, b"content")
    assert (answered, len(tried)) == (201 if attempts == 2 else 500, attempts)
    assert rig.connection.errno == (0 if attempts == 2 else error.errno or 0)
    assert rig.device.held == -1


@pytest.mark.parametrize(
    ("case", "status"),
    [("plain", 201), ("new device", 201), ("not mounted", 507), ("no room", 507)],
)
def test_body_that_is_there_is_stored_with_its_slot(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, case: str, status: int
) -> None:
    monkeypatch.setattr(statuses, "report", lambda *_: None)
    taken = Mock(side_effect=BadRequest("none", 507) if case == "no room" else None)
    monkeypatch.setattr(room, "take", taken)
    service = rig.connection.service = Mock(draining=False)
    service.is_unmounted.return_value = case == "not mounted"
    service.clients.relieve_from.return_value = False
    rig.connection.errno = 0
    rig.connection.answer = lambda status, _head, keep_alive: (status, keep_alive)
    rig.connection.refuse = lambda status: (status, False)
    device: Any = rig.device
    device.note_change = Mock()
    known = service.devices.of.return_value
    if case == "new device":
        device.name = b""
    rig.device.held = 1
    answered = rig.store_whole(rig.connection, b"dev1/a", Fields(True), device, b"content")
    assert answered == (status, status == 201)
    assert (rig.device.held, rig.connection.body_received) == (0, 7)
    assert rig.connection.errno == (errno.ENODEV if case == "not mounted" else 0)
    if case != "not mounted":
        taken.assert_called_once_with(rig.connection, device, b"dev1/a", 7)
    stored = [call(b"dev1/a", b"content", device.name)]
    assert service.docroot.store.mock_calls == stored * (status == 201)
    assert service.devices.register.called is (case == "new device")
    changed = known if case == "new device" else device
    assert changed.note_change.called is (status == 201)


def test_upload_gets_the_device_whose_slot_it_has(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path may belong to another device as soon as a disk is mounted."""
    given: list[object] = []

    def begin(_connection: object, _request: object, device: object, _start: int) -> Any:
        given.append(device)
        return SimpleNamespace(advance=lambda *_: Next.READ)

    monkeypatch.setattr(put, "Upload", begin)
    devices = iter([rig.device, Device()])
    rig.connection.service.devices = SimpleNamespace(of=lambda _: next(devices))
    rig.put(100, b"abc", b"def")
    assert given == [rig.device]
