"""What of a file that was read is kept for the next reader."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogpoll import Next
from mogstored.files.recent_files import RecentFile, RecentFiles
from mogstored.http import get
from mogstored.http.message.ranges import ByteRange, Span
from mogstored.http.message.request import Fields, Request

if TYPE_CHECKING:
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
