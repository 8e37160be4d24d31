"""How an upload ends, well or early: what is answered, logged and left on the disk."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import ANY, Mock, call

import pytest

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.files.checksums.body_digest import HashingThreads
from mogstored.files.docroot import Docroot
from mogstored.http import room, statuses
from mogstored.http import upload as module
from mogstored.http.message.request import Fields, Request
from mogstored.http.upload import Upload
from tests.support.sockets import stream_pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

PATH = b"dev1/a"
PEER = "10.0.0.7:9"
BODY = b"0123456789"
MD5 = base64.b64encode(hashlib.md5(BODY).digest())


class Device:
    """Has one slot."""

    takes_files = True
    is_down = False
    name = b"dev1"

    def __init__(self) -> None:
        self.held = 0
        self.entered: list[bool] = []
        self.note_change = Mock()

    def enter(self, _task: object, has_nothing: bool) -> bool:
        self.entered.append(has_nothing)
        if self.held:
            return False
        self.held += 1
        return True

    def leave(self, *_: object) -> None:
        self.held -= 1

    def is_wanted(self) -> bool:
        return False


class Rig:
    """A connection, a docroot with one device, and what was answered and logged."""

    def __init__(self, path: Path, ours: socket.socket, theirs: socket.socket) -> None:
        self.path, self.client = path / "dev1", theirs
        self.path.mkdir()
        self.device, self.buffers = Device(), Buffers()
        self.docroot = Docroot(str(path))
        self.hashing = HashingThreads(1)
        self.answered: list[tuple[int, bool]] = []
        self.lost: list[tuple[Any, ...]] = []
        self.service: Any = SimpleNamespace(
            docroot=self.docroot,
            devices=SimpleNamespace(of=lambda _: self.device, register=Mock()),
            hashing=self.hashing,
            clients=SimpleNamespace(retry_after_relief=lambda work: work()),
            counters=Mock(),
            is_unmounted=lambda _: False,
            draining=False,
            min_free=None,
        )
        self.session: Any = SimpleNamespace(
            service=self.service,
            sock=ours,
            pending=b"",
            peer=lambda: PEER,
            turn_at=0.0,
            errno=0,
            work=None,
            send_ahead=Mock(),
            is_last_answer=lambda: True,
            refuse=lambda status: self._answer(status, False),
            answer_short=self._answer,
        )

    def _answer(self, status: int, keep_alive: bool) -> Next:
        self.answered.append((status, keep_alive))
        return Next.READ

    def begin(self, pending: bytes = b"", **fields: Any) -> Upload:
        self.session.pending = pending
        fields = {"content_length": len(BODY)} | fields
        request = Request(b"PUT", PATH, Fields(True, **fields))
        return Upload(self.session, request, cast("Any", self.device), 0)

    def advance(self, upload: Any, sent: bytes = b"") -> Next:
        self.client.sendall(sent)
        said: Next = upload.advance(self.session, self.buffers)
        return said

    def files(self) -> list[str]:
        return sorted(os.listdir(self.path))


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with stream_pair() as (ours, theirs):
        made = Rig(tmp_path, ours, theirs)
        monkeypatch.setattr(module, "monotonic", lambda: 0.0)
        monkeypatch.setattr(module, "last_data_received_ms", lambda _: 5)
        monkeypatch.setattr(statuses, "report", lambda *_: None)
        monkeypatch.setattr(statuses, "report_lost", lambda *line: made.lost.append(line))
        yield made
        made.hashing.stop()
        made.docroot.close()
        assert made.device.held == 0


def test_body_that_came_is_stored(rig: Rig) -> None:
    upload = rig.begin(BODY[:3])
    assert rig.advance(upload, BODY[3:]) is Next.READ
    assert rig.answered == [(201, True)]
    assert (rig.path / "a").read_bytes() == BODY
    assert rig.session.body_received == len(BODY)
    rig.service.devices.register.assert_called_once_with(PATH)
    rig.device.note_change.assert_called_once_with()


def test_last_answer_of_a_node_that_stops_says_so(rig: Rig) -> None:
    rig.service.draining = True
    rig.advance(rig.begin(BODY))
    assert rig.answered == [(201, False)]


def test_request_behind_a_chunked_body_stays(rig: Rig) -> None:
    upload = rig.begin(content_length=None, chunked=True)
    rig.advance(upload, b"a\r\n" + BODY + b"\r\n0\r\n\r\nGET ")
    assert (rig.answered, rig.session.pending) == ([(201, True)], b"GET ")


def test_request_behind_a_body_is_left_in_the_socket(rig: Rig) -> None:
    """Clients may send many of them ahead, and what is received is copied for each."""
    rig.advance(rig.begin(), BODY + b"GET ")
    assert (rig.answered, rig.session.pending) == ([(201, True)], b"")
    assert rig.session.sock.recv(10) == b"GET "


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("checked", [False, True])
def test_client_that_ends_early_is_named(rig: Rig, chunked: bool, checked: bool) -> None:
    length = None if chunked else len(BODY)
    md5 = MD5 if checked else None
    upload = rig.begin(content_length=length, chunked=chunked, content_md5=md5)
    assert rig.advance(upload, b"a\r\n012" if chunked else b"012") is Next.READ
    assert len(rig.files()) <= 1
    # A socket that was reset has no name.
    rig.session.peer = lambda: "unknown peer"
    rig.client.close()
    assert upload.advance(rig.session, rig.buffers) is Next.CLOSE
    assert rig.lost == [(PATH, PEER, 3, "premature EOF", 5)]
    assert (rig.files(), rig.answered, rig.session.body_received) == ([], [], 3)


def test_client_that_stops_in_its_body_is_refused_and_leaves_its_slot(rig: Rig) -> None:
    upload = rig.begin()
    assert rig.advance(upload, b"012") is Next.READ
    upload.time_out(rig.session, 7)
    rig.device.held = 1
    assert rig.advance(rig.session.work) is Next.PARKED
    assert (rig.lost, rig.device.held) == ([], 1)
    rig.device.held = 0
    assert rig.advance(rig.session.work) is Next.READ
    # What it has on the disk keeps its place in the queue.
    assert rig.device.entered == [True, False, False]
    assert rig.lost == [(PATH, PEER, 3, "nothing came for 7 s", 5)]
    assert (rig.answered, rig.files()) == ([(408, False)], [])


def test_withdrawn_upload_whose_connection_is_closed_leaves_nothing(rig: Rig) -> None:
    upload = rig.begin()
    rig.advance(upload, b"012")
    upload.time_out(rig.session, 7)
    rig.session.work.abandon()
    assert (rig.files(), rig.lost) == ([], [])


@pytest.mark.parametrize(("is_down", "status"), [(True, 500), (False, 507)])
def test_device_that_takes_no_files_any_more(rig: Rig, is_down: bool, status: int) -> None:
    upload = rig.begin()
    rig.device.takes_files, rig.device.is_down = False, is_down
    rig.advance(upload, BODY)
    assert (rig.answered, rig.files()) == ([(status, False)], [])


def test_wrong_checksum_is_counted_and_nothing_stored(rig: Rig) -> None:
    upload = rig.begin(content_md5=b"AAAAAAAAAAAAAAAAAAAAAA==")
    rig.advance(upload, BODY)
    assert (rig.answered, rig.files()) == ([(400, True)], [])
    rig.service.counters.note_md5_mismatch.assert_called_once_with()


def test_checksum_that_cannot_be_kept_fails_the_upload(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    checksums = SimpleNamespace(for_every_file="md5", keep=keep)
    monkeypatch.setattr(rig.docroot, "checksums", checksums)
    rig.advance(rig.begin(), BODY)
    assert (rig.answered, rig.files()) == ([(507, False)], [])
    assert rig.session.errno == errno.ENOSPC


def test_disk_that_writes_nothing_is_full(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    monkeypatch.setattr(statuses, "report", lambda error, *_: reported.append(str(error)))
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    rig.advance(rig.begin(), BODY)
    assert (rig.answered, rig.files()) == ([(507, False)], [])
    assert reported == [str(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))]


def test_error_without_a_number(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", Mock(side_effect=OSError))
    rig.advance(rig.begin(), BODY)
    assert (rig.answered, rig.session.errno, rig.files()) == ([(500, False)], 0, [])


def test_device_that_is_not_mounted(rig: Rig) -> None:
    rig.service.is_unmounted = lambda path: bool(path == PATH)
    rig.advance(rig.begin(), BODY)
    assert (rig.answered, rig.files()) == ([(507, False)], [])
    assert rig.session.errno == errno.ENODEV


@pytest.mark.parametrize(("chunked", "size"), [(False, len(BODY)), (True, None)])
def test_room_is_claimed_for_a_body_and_used_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, chunked: bool, size: int | None
) -> None:
    claim, made = Mock(), Mock()
    made.return_value = claim
    monkeypatch.setattr(room, "claim", made)
    coded = b"a\r\n" + BODY + b"\r\n0\r\n\r\n" if chunked else BODY
    rig.advance(rig.begin(content_length=size, chunked=chunked), coded)
    made.assert_called_once_with(rig.session, rig.device, PATH, size)
    assert sum(each.args[0] for each in claim.note.mock_calls) == len(BODY)
    assert rig.answered == [(201, True)]


def test_memory_is_received_into_again_when_it_is_hashed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = Mock()
    monkeypatch.setattr(module, "BodyDigest", lambda *_: digest)
    ring = rig.buffers.ring = [memoryview(bytearray(2)) for _ in range(4)]
    upload = rig.begin(content_md5=MD5)
    assert rig.advance(upload, BODY[:5]) is Next.READ
    assert [part[:size].tobytes() for part, size in zip(ring, (2, 2, 1), strict=False)] == [
        b"01",
        b"23",
        b"4",
    ]
    step = [call.wait(3), call.begin(ANY)]
    assert digest.mock_calls == [*step * 3, call.wait(3), call.wait()]
    upload.abandon()


def test_disk_that_writes_a_part_gets_the_rest(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: genuine(fd, data[:3], at))
    rig.advance(rig.begin(), BODY)
    assert (rig.path / "a").read_bytes() == BODY


def test_file_that_cannot_be_made_gives_its_room_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Mock()
    monkeypatch.setattr(room, "claim", lambda *_: claim)

    def refuse(_work: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    rig.service.clients.retry_after_relief = refuse
    rig.advance(rig.begin(), BODY)
    assert rig.answered == [(507, False)]
    claim.release.assert_called_once_with()


def test_what_cannot_be_removed_is_reported(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[tuple[Any, ...]] = []
    monkeypatch.setattr(module, "report", lambda *line: reported.append(line))
    upload = rig.begin()
    rig.advance(upload, b"012")
    error = OSError(errno.EIO, "broken")
    file = cast("Any", upload._file)
    upload._file = cast("Any", SimpleNamespace(discard=Mock(side_effect=error)))
    upload.abandon()
    ((found, device, attempt),) = reported
    assert (found, device) == (error, rig.device)
    assert (attempt.operation, attempt.path, attempt.client) == ("write", PATH, PEER)
    file.discard()


@pytest.mark.parametrize(
    ("pending", "length", "asked"), [(b"", 10, 1), (b"0", 10, 0), (b"", 0, 0)]
)
def test_client_that_waits_for_a_100_gets_it_once(
    rig: Rig, pending: bytes, length: int, asked: int
) -> None:
    fields = {"content_length": length, "takes_interim": bool(asked)}
    upload = rig.begin(pending, expects_continue=True, **fields)
    assert upload.takes_interim is bool(asked)
    for _ in range(2):
        if not rig.answered:
            rig.advance(upload)
    assert rig.session.send_ahead.call_count == asked
    upload.abandon()


def test_pages_are_written_back_as_they_come(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_BACK", 4)
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(
        rig.docroot.syncs, "begin_write_back", lambda _fd, at, count: begun.append((at, count))
    )
    upload = rig.begin()
    for piece in (BODY[:3], BODY[3:4], BODY[4:7], BODY[7:]):
        rig.advance(upload, piece)
    assert begun == [(0, 4), (4, 6)]
    assert (rig.path / "a").read_bytes() == BODY
