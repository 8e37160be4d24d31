"""How a GET is answered, and what of a file that was read is kept for the next reader."""

from __future__ import annotations

import errno
import os
from time import monotonic
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import Mock

import pytest

from mogpoll import Next
from mogstored.devices.slots import READ
from mogstored.files.docroot import Docroot
from mogstored.files.recent_files import MAX_CONTENT, RecentFile, RecentFiles
from mogstored.http import get, statuses
from mogstored.http.message.ranges import ByteRange, Span
from mogstored.http.message.request import Fields, Request
from tests.support.clock import stop_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATH = b"dev1/a"
CONTENT = b"content"


@pytest.fixture
def is_settled(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the file changed long enough ago."""
    answers = [True]
    monkeypatch.setattr(get, "is_settled", lambda _status: answers[0])
    return answers


def kept(
    tmp_path: Path, method: bytes = b"GET", asked: ByteRange | None = None
) -> RecentFile | None:
    """Answer a request; return what is kept."""
    (tmp_path / "a").write_bytes(CONTENT)
    files = RecentFiles(2**20)
    session = SimpleNamespace(
        service=SimpleNamespace(recent_files=files), answer=lambda *_whole_answer: Next.READ
    )
    request = Request(method, PATH, Fields(keep_alive=True, range_=asked))
    fd = os.open(tmp_path / "a", os.O_RDONLY)
    assert get._send(cast("Any", session), request, True, fd, cast("Any", None)) is Next.READ
    return files.get(PATH)


@pytest.mark.usefixtures("is_settled")
def test_content_that_was_read(tmp_path: Path) -> None:
    file = kept(tmp_path)
    assert file is not None
    assert file.content == CONTENT


def test_nothing_of_a_file_that_may_change_and_look_the_same(
    tmp_path: Path, is_settled: list[bool]
) -> None:
    is_settled[0] = False
    assert kept(tmp_path) is None


@pytest.mark.usefixtures("is_settled")
def test_nothing_of_a_part_or_of_a_head(tmp_path: Path) -> None:
    assert kept(tmp_path, asked=ByteRange(0, 1)) is None
    assert kept(tmp_path, method=b"HEAD") is None


def test_date_of_a_file_is_the_second_in_which_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(CONTENT)
    os.utime(file, ns=(0, 784_111_777_999_999_999))
    heads: list[bytes] = []

    def answer(_status: int, head: bytes, *_: object) -> Next:
        heads.append(head)
        return Next.READ

    service = SimpleNamespace(recent_files=RecentFiles(2**20))
    session = cast("Any", SimpleNamespace(service=service, answer=answer))
    request, fd = Request(b"GET", PATH, Fields(True)), os.open(file, os.O_RDONLY)
    get._send(session, request, True, fd, cast("Any", None))
    status = os.stat(file)
    heads.append(get._head_again(RecentFile(status, CONTENT), status))
    for head in heads:
        assert b"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in head


def test_range_behind_the_end_has_no_content() -> None:
    status, _, span = get._head(ByteRange(20, None), 10, 0, True)
    assert (status, span) == (416, Span(0, 0))


def test_long_file_is_kept_without_its_content(
    tmp_path: Path, is_settled: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get, "SMALL", len(CONTENT) - 1)
    begun = Mock()
    begun.return_value.begin.return_value = Next.READ
    monkeypatch.setattr(get, "Download", begun)
    file = kept(tmp_path)
    assert file is not None
    assert file.content is None
    (path, fd, _, *rest) = begun.call_args.args
    assert (path, rest) == (PATH, [Span(0, len(CONTENT)), True, None])
    os.close(fd)
    assert begun.return_value.begin.call_args.args[1] == 200
    is_settled[0] = False
    assert kept(tmp_path) is None
    os.close(begun.call_args.args[1])


class Rig:
    """A connection to a docroot with one device and one file; its answers are noted."""

    def __init__(self, docroot: Docroot) -> None:
        self.device = Mock(is_down=False)
        self.device.name = b"dev1"
        self.device.try_enter.return_value = self.device.enter.return_value = True
        self.files = RecentFiles(2**20)
        self.known = Mock()
        self.known.device_of.return_value = self.device
        self.service = Mock(docroot=docroot, recent_files=self.files, inventory=None)
        self.service.is_unmounted.return_value = False
        self.service.clients.retry_after_relief = lambda call, *args: call(*args)
        self.connection: Any = Mock(
            service=self.service, turn_at=self.now, active_at=self.now, request=None, errno=0
        )
        self.connection.answer = self._answer
        self.connection.answer_short = lambda status, keep_alive: (status, keep_alive)

    # When the step began.
    now = 0.0

    def _answer(self, status: int, head: bytes, keep_alive: bool, content: bytes = b"") -> Any:
        assert head.startswith(b"HTTP/1.1 %d " % status)
        self.head = head
        return status, keep_alive, content

    def ask(
        self,
        path: bytes = PATH,
        keep_alive: bool = True,
        method: bytes = b"GET",
        answer: Callable[..., Any] = get.answer,
        file: RecentFile | None = None,
        **fields: Any,
    ) -> Any:
        request = self.request = Request(method, path, Fields(keep_alive, **fields), file=file)
        request.device = self.device
        return answer(self.connection, request, keep_alive, self.known)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_settled: list[bool]) -> Iterator[Rig]:
    (tmp_path / "dev1").mkdir()
    (tmp_path / "dev1" / "a").write_bytes(CONTENT)
    monkeypatch.setattr(Rig, "now", monotonic())
    stop_clock(monkeypatch, get, Rig.now + 2.0)
    monkeypatch.setattr(statuses, "report", lambda *_: None)
    docroot = Docroot(str(tmp_path))
    yield Rig(docroot)
    docroot.close()


def left(rig: Rig) -> list[tuple[int, float]]:
    """Return how often a slot was given back, and after how many seconds."""
    return [(call.args[0], round(call.args[1], 6)) for call in rig.device.leave.mock_calls]


def test_file_is_answered_with_a_slot(rig: Rig) -> None:
    assert rig.ask() == (200, True, CONTENT)
    assert left(rig) == [(READ, 2.0)]
    assert not rig.service.devices.register.called
    assert rig.ask(keep_alive=False) == (200, False, CONTENT)
    assert rig.ask(range_=ByteRange(1, 2)) == (206, True, b"on")
    assert rig.ask(method=b"HEAD") == (200, True, b"")


def test_device_of_a_file_that_was_opened_is_known_from_then_on(rig: Rig) -> None:
    rig.device.name = b""
    assert rig.ask() == (200, True, CONTENT)
    rig.service.devices.register.assert_called_once_with(PATH)


@pytest.mark.parametrize(
    ("path", "status", "number"),
    [(b"dev1/none", 404, errno.ENOENT), (b"dev1", 403, errno.EACCES)],
)
def test_what_is_no_file(rig: Rig, path: bytes, status: int, number: int) -> None:
    assert rig.ask(path) == (status, True)
    assert (left(rig), rig.connection.errno) == ([(READ, 2.0)], number)


def test_device_that_is_not_mounted(rig: Rig) -> None:
    rig.service.is_unmounted.return_value = True
    assert rig.ask() == (500, True)
    assert (left(rig), rig.connection.errno) == ([(READ, 2.0)], errno.ENODEV)


def test_error_without_a_number(rig: Rig) -> None:
    rig.service.clients.retry_after_relief = Mock(side_effect=OSError)
    assert rig.ask() == (500, True)
    assert rig.connection.errno == 0


def test_root_is_an_empty_file_of_1970(rig: Rig) -> None:
    assert rig.ask(b"", keep_alive=False) == (200, False, b"")
    assert b"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n" in rig.head


def test_what_needs_no_slot(rig: Rig) -> None:
    assert rig.ask(b"dev1/../a", keep_alive=False) == (403, False)
    rig.service.inventory = Mock()
    record = rig.service.inventory.record_at.return_value = Mock(time=0)
    record.text.return_value = b"usage"
    assert rig.ask() == (200, True, b"usage")
    assert rig.ask(range_=ByteRange(1, 2)) == (206, True, b"sa")
    assert rig.ask(method=b"HEAD") == (200, True, b"")
    rig.service.inventory.record_at.side_effect = OSError(errno.EIO, "broken")
    assert rig.ask(keep_alive=False) == (500, False)
    rig.service.inventory = None
    rig.device.is_down = True
    assert rig.ask(keep_alive=False) == (500, False)
    assert not rig.device.try_enter.called


@pytest.mark.parametrize("takes_interim", [False, True])
@pytest.mark.parametrize("is_down", [False, True])
def test_device_that_is_waited_for(rig: Rig, takes_interim: bool, is_down: bool) -> None:
    rig.device.try_enter.return_value = rig.device.enter.return_value = False
    assert rig.ask(takes_interim=takes_interim) is Next.PARKED
    rig.device.enter.assert_called_once_with(rig.connection, has_nothing=True)
    work = rig.connection.work
    assert (work.takes_interim, left(rig)) == (takes_interim, [])
    rig.device.enter.return_value, rig.device.is_down = True, is_down
    assert work.advance(rig.connection) == ((500, True) if is_down else (200, True, CONTENT))
    assert left(rig) == [(READ, 2.0)]


def again(rig: Rig, file: RecentFile | None, keep_alive: bool = True) -> Any:
    """Answer a request whose file was read before; "anew" says that it is read as if not."""
    return rig.ask(file=file, keep_alive=keep_alive, answer=get.answer_again)


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get, "answer", lambda *_: "anew")


def found(tmp_path: Path, content: bytes | None = CONTENT) -> RecentFile:
    return RecentFile(os.stat(tmp_path / "dev1" / "a"), content)


@pytest.mark.usefixtures("anew")
def test_content_in_memory(rig: Rig, tmp_path: Path) -> None:
    file = found(tmp_path, b"in memory")
    rig.connection.active_at += 0.5
    for _ in range(2):
        assert again(rig, file) == (200, True, b"in memory")
    assert left(rig) == [(READ, 0.5)] * 2
    assert b"\r\nContent-Length: 7\r\n" in rig.head
    rig.connection.request = object()
    assert again(rig, file) == (200, True, b"in memory")
    assert left(rig)[2:] == [(READ, 2.0)]


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("content", [CONTENT, None], ids=["content", "fact"])
@pytest.mark.parametrize("change", ["written", "removed"])
def test_file_that_has_changed_is_read_anew(
    rig: Rig, tmp_path: Path, content: bytes | None, change: str
) -> None:
    file = found(tmp_path, content)
    (tmp_path / "dev1" / "a").unlink()
    if change == "written":
        (tmp_path / "dev1" / "b").write_bytes(CONTENT)
        (tmp_path / "dev1" / "a").write_bytes(CONTENT)
    assert again(rig, file) == "anew"
    assert left(rig) == [(READ, 0.0)]


@pytest.mark.usefixtures("anew")
def test_file_that_was_read_too_long_ago_is_looked_up(rig: Rig, tmp_path: Path) -> None:
    old, new = found(tmp_path, b"old"), found(tmp_path, b"new")
    old.until = rig.now - 1.0
    assert again(rig, old) == again(rig, None) == "anew"
    rig.files.keep(PATH, old)
    assert again(rig, None) == "anew"
    rig.files.keep(PATH, new)
    assert again(rig, old) == again(rig, None) == (200, True, b"new")
    assert rig.request.file is new
    assert again(rig, found(tmp_path, b"own")) == (200, True, b"own")


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("case", ["close", "down", "no slot"])
def test_what_is_in_memory_is_not_for_all(rig: Rig, tmp_path: Path, case: str) -> None:
    rig.device.is_down = case == "down"
    rig.device.try_enter.return_value = case != "no slot"
    assert again(rig, found(tmp_path), keep_alive=case != "close") == "anew"
    assert left(rig) == []


@pytest.mark.usefixtures("anew")
def test_device_that_was_not_known_may_be_by_now(rig: Rig, tmp_path: Path) -> None:
    nameless = Mock()
    nameless.name = b""
    for device in (nameless, None):
        request = Request(b"GET", PATH, Fields(True), device=device, file=found(tmp_path))
        answer: Any = get.answer_again(rig.connection, request, True, rig.known)
        assert answer == (200, True, CONTENT)
        assert request.device is rig.device
    assert left(rig) == [(READ, 0.0)] * 2


@pytest.mark.usefixtures("anew")
def test_content_is_kept_when_it_is_read_a_second_time(rig: Rig, tmp_path: Path) -> None:
    assert again(rig, found(tmp_path, None)) == (200, True, CONTENT)
    file = rig.files.get(PATH)
    assert file is not None
    assert (file.content, file.is_of(os.stat(tmp_path / "dev1" / "a"))) == (CONTENT, True)
    assert left(rig) == [(READ, 0.0)]


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("fstat", Mock(side_effect=OSError(errno.EIO, "broken"))),
        ("pread", Mock(side_effect=OSError(errno.EIO, "broken"))),
        # It has just become shorter.
        ("pread", lambda *_: CONTENT[:2]),
    ],
)
def test_file_that_is_not_read_whole_is_read_anew(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, result: Any
) -> None:
    file = found(tmp_path, None)
    with monkeypatch.context() as short:
        short.setattr(os, name, result)
        assert again(rig, file) == "anew"
    assert (rig.files.get(PATH), left(rig)) == (None, [(READ, 0.0)])


@pytest.mark.usefixtures("anew")
def test_long_file_is_opened_again_and_sent(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = Mock()
    begun.return_value.begin.return_value = Next.AGAIN
    monkeypatch.setattr(get, "Download", begun)
    os.truncate(tmp_path / "dev1" / "a", MAX_CONTENT + 1)
    assert again(rig, found(tmp_path, None)) is Next.AGAIN
    path, fd, head, *rest = begun.call_args.args
    os.close(fd)
    assert (path, rest) == (PATH, [Span(0, MAX_CONTENT + 1), True, rig.device])
    assert b"\r\nContent-Length: %d\r\n" % (MAX_CONTENT + 1) in head
    begun.return_value.begin.assert_called_once_with(rig.connection, 200)
