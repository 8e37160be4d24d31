"""The verdict on one file."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import mmap
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll.system.attributes import set_attribute
from mogstored.files.checksums import at_rest
from mogstored.scrub import file_check
from mogstored.scrub.device_scrub import PIECE
from mogstored.scrub.file_check import FileCheck
from mogstored.scrub.verdict import Kind, Verdict
from tests.support.attributes import takes_attributes
from tests.support.rot import store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODY = b"content"
LARGE = bytes(range(251)) * (3 * PIECE // 251)
EACH_SIZE = pytest.mark.parametrize(
    "content", [b"", BODY, bytes(PIECE), LARGE], ids=["empty", "small", "a piece", "large"]
)


@pytest.fixture(autouse=True)
def _needs_attributes(tmp_path: Path) -> None:
    if not takes_attributes(tmp_path):
        pytest.skip("the file system has no attributes")


def judge(path: Path, between: Callable[[int], object] = lambda _: None) -> Verdict:
    """Return the verdict; `between` is called with the number of steps after each."""
    check, buffer = FileCheck(os.fsencode(path)), memoryview(bytearray(PIECE))
    for steps in range(1, 100):
        _, verdict = check.step(buffer)
        if verdict is not None:
            return verdict
        between(steps)
    raise AssertionError("no verdict")


def hex_of(algorithm: str, content: bytes) -> str:
    return f"{algorithm} {hashlib.new(algorithm, content).hexdigest()}"


@EACH_SIZE
@pytest.mark.parametrize("algorithms", [("md5",), ("sha256",), ("md5", "sha256")], ids=str)
def test_sound(tmp_path: Path, content: bytes, algorithms: tuple[str, ...]) -> None:
    assert judge(store(tmp_path / "file", content, *algorithms)) == Verdict(Kind.SOUND)


@EACH_SIZE
def test_without_a_checksum(tmp_path: Path, content: bytes) -> None:
    assert judge(store(tmp_path / "file", content)) == Verdict(Kind.UNCHECKED)


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@pytest.mark.parametrize("at", [0, PIECE - 1, PIECE, len(LARGE) - 1])
def test_flipped_bit(tmp_path: Path, algorithm: str, at: int) -> None:
    path = store(tmp_path / "file", LARGE, algorithm)
    rotten = bytearray(LARGE)
    rotten[at] ^= 1
    with open(path, "r+b") as file:
        file.write(rotten)
    expected, found = hex_of(algorithm, LARGE), hex_of(algorithm, bytes(rotten))
    assert judge(path) == Verdict(Kind.MISMATCH, expected, found)


@pytest.mark.parametrize("size", [0, 1, PIECE, len(LARGE) - 1, len(LARGE) + 1])
def test_other_length(tmp_path: Path, size: int) -> None:
    path = store(tmp_path / "file", LARGE, "md5")
    os.truncate(path, size)
    found = hex_of("md5", (LARGE + b"\0")[:size])
    assert judge(path) == Verdict(Kind.MISMATCH, hex_of("md5", LARGE), found)


def test_second_checksum_counts_as_well(tmp_path: Path) -> None:
    path = store(tmp_path / "file", BODY, "md5", "sha256")
    store(path, BODY, "md5")
    fd = os.open(path, os.O_RDWR)
    at_rest.write(fd, "sha256", bytes(32))
    os.close(fd)
    assert judge(path).expected == f"sha256 {bytes(32).hex()}"


def test_what_is_wrong_once_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit that flipped in memory is not on the disk."""
    path = store(tmp_path / "file", BODY, "md5")
    plain, dropped, calls = os.preadv, [], []

    def read(fd: int, buffers: list[memoryview], offset: int) -> int:
        size = plain(fd, buffers, offset)
        calls.append(offset)
        if len(calls) == 1:
            buffers[0][0] ^= 1
        return size

    def advise(_fd: int, offset: int, size: int, _advice: int) -> None:
        dropped.append((len(calls), offset, size))

    monkeypatch.setattr(os, "preadv", read)
    monkeypatch.setattr(os, "posix_fadvise", advise, raising=False)
    assert judge(path) == Verdict(Kind.SOUND)
    assert len(calls) == 2
    assert (1, 0, len(BODY)) in dropped, "what was read leaves the cache"
    assert (1, 0, 0) in dropped, "the whole file is dropped before it is read again"


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: store(path, LARGE, "md5"),
        lambda path: os.truncate(path, 3),
        lambda path: path.with_name("new").rename(path),
        lambda path: path.chmod(0o600),
    ],
    ids=["removed", "written", "cut", "replaced", "another mode"],
)
def test_change_meanwhile_is_no_finding(tmp_path: Path, change: Callable[[Path], Any]) -> None:
    store(tmp_path / "new", LARGE)
    path = store(tmp_path / "file", LARGE, "md5")
    rotten = store(tmp_path / "rotten", LARGE, "md5")
    with open(rotten, "r+b") as file:
        file.write(b"x")
    for each in (path, rotten):

        def change_once(steps: int, each: Path = each) -> None:
            if steps == 1:
                change(each)

        assert judge(each, change_once) == Verdict(Kind.PASSED_OVER)
        store(tmp_path / "new", LARGE)


def test_checksum_that_is_removed_before_the_second_look(tmp_path: Path) -> None:
    path = store(tmp_path / "file", b"other", "md5")
    with open(path, "r+b") as file:
        file.write(BODY)

    def remove(_steps: int) -> None:
        with open(path, "r+b") as file:
            at_rest.remove(file.fileno())

    assert judge(path, remove) == Verdict(Kind.UNCHECKED)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"", ""),
        (b"x" * 200, "x" * 80),
        (b"\n\x1b[31m\xff", r"\n\x1b[31m\xff"),
    ],
)
def test_garbage_in_the_attribute(tmp_path: Path, value: bytes, found: str) -> None:
    path = store(tmp_path / "file", BODY)
    with open(path, "r+b") as file:
        set_attribute(file.fileno(), "mogstored.md5", value)
    assert judge(path) == Verdict(Kind.BAD_CHECKSUM, "a digest (md5)", found)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for name in ("fifo", "link", "missing", "."):
        assert judge(tmp_path / name) == Verdict(Kind.PASSED_OVER)


def fail(monkeypatch: pytest.MonkeyPatch, call: str, number: int, *, after: int = 0) -> None:
    """Let a call fail, but for the first ones."""
    plain, count = getattr(os, call), [0]

    def failing(*arguments: Any) -> Any:
        count[0] += 1
        if count[0] > after:
            raise OSError(number, os.strerror(number))
        return plain(*arguments)

    monkeypatch.setattr(os, call, failing)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EIO, Kind.UNREADABLE),
        (errno.EACCES, Kind.UNREADABLE),
        (errno.EUCLEAN if hasattr(errno, "EUCLEAN") else errno.EIO, Kind.UNREADABLE),
        (errno.ESTALE, Kind.PASSED_OVER),
        (errno.EMFILE, Kind.PASSED_OVER),
        (errno.EWOULDBLOCK, Kind.PASSED_OVER),
    ],
)
def test_file_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: Kind
) -> None:
    path = store(tmp_path / "file", BODY, "md5")
    fail(monkeypatch, "open", number)
    verdict = judge(path)
    assert verdict.kind is kind
    assert (os.strerror(number) in verdict.found) == (kind is Kind.UNREADABLE)


@pytest.mark.parametrize("algorithms", [(), ("md5",)], ids=["unchecked", "checked"])
def test_error_of_reading_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithms: tuple[str, ...]
) -> None:
    path = store(tmp_path / "file", LARGE, *algorithms)
    fail(monkeypatch, "preadv", errno.EIO, after=2)
    expected = f"{os.strerror(errno.EIO)} (EIO) at {2 * PIECE}"
    verdict = judge(path)
    assert verdict == Verdict(Kind.UNREADABLE, "", expected)
    assert verdict.error is not None
    assert verdict.error.errno == errno.EIO


def test_error_before_the_first_piece_has_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store(tmp_path / "file", BODY)
    with monkeypatch.context() as patched:
        fail(patched, "fstat", errno.EIO)
        verdict = judge(path)
    assert verdict.found == f"{os.strerror(errno.EIO)} (EIO)"


def test_contents_are_read_at_idle_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    @contextlib.contextmanager
    def lowered(*, idle: bool = False) -> Iterator[None]:
        seen.append(f"{idle=}")
        yield
        seen.append("over")

    plain = os.preadv

    def read(*arguments: Any) -> int:
        seen.append("read")
        return plain(*arguments)

    monkeypatch.setattr(os, "preadv", read)
    monkeypatch.setattr(file_check, "lowered_io_priority", lowered)
    assert judge(store(tmp_path / "file", BODY)) == Verdict(Kind.UNCHECKED)
    assert seen == ["idle=True", "read", "over"]


@pytest.mark.parametrize(
    ("has_flag", "number", "opens"),
    [(True, errno.EPERM, 2), (True, errno.EACCES, 1), (False, errno.EPERM, 1)],
)
def test_owner_alone_may_leave_the_access_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_flag: bool, number: int, opens: int
) -> None:
    path, plain, flags = store(tmp_path / "file", BODY), os.open, []

    def refuse(path: bytes, asked: int) -> int:
        flags.append(asked)
        if len(flags) == 1:
            raise PermissionError(number, os.strerror(number))
        return plain(path, asked)

    # Any flag that does nothing here.
    monkeypatch.setattr(file_check, "_NOATIME", os.O_APPEND if has_flag else 0)
    monkeypatch.setattr(os, "open", refuse)
    assert judge(path).kind is (Kind.UNCHECKED if opens == 2 else Kind.UNREADABLE)
    needed = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    assert flags == [needed | os.O_APPEND * has_flag, needed][:opens]


def test_file_that_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has lost blocks may say so in this way."""
    path = store(tmp_path / "file", LARGE)
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    verdict = judge(path)
    missing = "the end of the file at 0"
    assert verdict == Verdict(Kind.UNREADABLE, f"{len(LARGE)} bytes", missing)


def test_nothing_is_open_between_two_steps(tmp_path: Path) -> None:
    path = store(tmp_path / "file", LARGE, "md5")
    before = len(os.listdir("/dev/fd"))
    seen = set()
    judge(path, lambda _: seen.add(len(os.listdir("/dev/fd"))))
    assert seen == {before}


@pytest.mark.skipif(sys.platform != "linux", reason="mincore counts otherwise elsewhere")
def test_page_cache_is_not_filled(tmp_path: Path) -> None:
    path = store(tmp_path / "file", LARGE, "md5")
    os.sync()
    path.read_bytes()
    assert cached_pages(path) > 0
    assert judge(path) == Verdict(Kind.SOUND)
    if cached_pages(path) == len(LARGE) // mmap.PAGESIZE + 1:
        pytest.skip("this file system is memory")
    assert cached_pages(path) == 0


def cached_pages(path: Path) -> int:
    """Return how many pages of a file are in the page cache."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * (len(mapped) // mmap.PAGESIZE + 1))()
        begin = ctypes.c_char.from_buffer(mapped)
        size = ctypes.c_size_t(len(mapped))
        assert ctypes.CDLL(None).mincore(ctypes.byref(begin), size, pages) == 0
        del begin
        return sum(page & 1 for page in pages)
