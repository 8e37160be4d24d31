"""A body that is there becomes a file in one go, or leaves no trace."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from mogpoll import FileError
from mogstored.devices.device import Devices
from mogstored.files import docroot as docroot_module
from mogstored.files import nameless
from mogstored.files.docroot import Docroot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTENT = b"content" * 100


@pytest.fixture(params=["nameless", "named"])
def docroot(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Docroot]:
    """With a device that makes files without a name, and with one that refuses to."""
    (tmp_path / "dev1").mkdir()
    if request.param == "named":
        monkeypatch.setattr(nameless, "can_link", lambda *_: False)
    made = Docroot(str(tmp_path))
    if request.param == "nameless" and not nameless.can_link(b"dev1", b"dev1/x", made.fileno()):
        pytest.skip("this system makes no files without a name")
    yield made
    made.close()


def files_below(path: Path) -> list[Path]:
    return [each for each in path.rglob("*") if each.is_file()]


def test_new_directories_are_made_on_the_way(docroot: Docroot, tmp_path: Path) -> None:
    docroot.store(b"dev1/0/000/000/a.fid", CONTENT)
    assert files_below(tmp_path) == [tmp_path / "dev1/0/000/000/a.fid"]
    assert (tmp_path / "dev1/0/000/000/a.fid").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "list_",
    [Docroot.names, Docroot.count_devices, lambda docroot: Devices(docroot, resume=print)],
)
def test_listing_leaves_the_offset_alone(
    docroot: Docroot, list_: Callable[[Docroot], object]
) -> None:
    """Worker processes share it: two that list at the same time would find a part, or nothing."""
    before = os.lseek(docroot.fileno(), 1, os.SEEK_SET)
    list_(docroot)
    assert os.lseek(docroot.fileno(), 0, os.SEEK_CUR) == before


def test_only_devices_are_counted(docroot: Docroot, tmp_path: Path) -> None:
    for name in ("dev2", "dev02", "dev", "other"):
        (tmp_path / name).mkdir()
    assert docroot.count_devices() == 2


@pytest.mark.parametrize("call", [Docroot.open_read, Docroot.stat, Docroot.unlink])
def test_state_of_the_node_is_not_there(
    docroot: Docroot, tmp_path: Path, call: Callable[[Docroot, bytes], object]
) -> None:
    (tmp_path / ".mogstored").mkdir()
    (tmp_path / ".mogstored/x").touch()
    with pytest.raises(FileNotFoundError, match=os.strerror(errno.ENOENT)) as refused:
        call(docroot, b".mogstored/x")
    assert refused.value.errno == errno.ENOENT
    assert (tmp_path / ".mogstored/x").exists()


def test_device_is_never_made(docroot: Docroot, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        docroot.store(b"dev7/a", CONTENT)
    assert not (tmp_path / "dev7").exists()


def test_device_that_comes_to_refuse_files_without_a_name(
    docroot: Docroot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when NFS is mounted where a directory of another file system was."""
    tries, open_ = [], os.open

    def refuse(path: bytes, flags: int, mode: int = 0o777, *, dir_fd: int) -> int:
        if flags == nameless.CREATE:
            tries.append(1)
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return open_(path, flags, mode, dir_fd=dir_fd)

    docroot.store(b"dev1/a", CONTENT)
    monkeypatch.setattr(os, "open", refuse)
    docroot.store(b"dev1/b", CONTENT)
    docroot.store(b"dev1/0/c", CONTENT)
    assert len(tries) <= 1
    assert {each.name for each in files_below(tmp_path)} == {"a", "b", "c"}


@pytest.mark.parametrize(("answer", "asked"), [(None, 3), (False, 1)], ids=["trouble", "refusal"])
def test_device_is_tried_until_it_has_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bool | None, asked: int
) -> None:
    tries: list[tuple[object, ...]] = []

    def can_link(*arguments: object) -> bool | None:
        tries.append(arguments)
        return answer

    def open_named(path: bytes, flags: int, mode: int = 0o777, *, dir_fd: int) -> int:
        assert flags != nameless.CREATE
        return open_(path, flags, mode, dir_fd=dir_fd)

    open_ = os.open
    monkeypatch.setattr(nameless, "can_link", can_link)
    for directory in ("dev1", "elsewhere"):
        (tmp_path / directory).mkdir()
    with closing(Docroot(str(tmp_path))) as docroot, monkeypatch.context() as opening:
        opening.setattr(os, "open", open_named)
        for name in (b"a", b"b", b"c"):
            docroot.store(b"dev1/" + name, CONTENT)
        # It is no device, and so not tried.
        docroot.store(b"elsewhere/a", CONTENT)
        assert docroot._nameless.get(b"elsewhere") is None
    assert [each[0] for each in tries] == [b"dev1"] * asked
    assert len(files_below(tmp_path)) == 4


def test_trouble_of_a_disk_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dev1").mkdir()
    monkeypatch.setattr(nameless, "can_link", lambda *_: True)
    with closing(Docroot(str(tmp_path))) as docroot:
        with monkeypatch.context() as trouble:
            trouble.setattr(os, "open", failing(errno.EIO))
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                docroot.store(b"dev1/a", CONTENT)
            trouble.setattr(docroot_module, "create_named", failing(errno.ENOTDIR))
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                docroot.store(b"dev1/a", CONTENT)
        assert docroot._nameless[b"dev1"]


@pytest.mark.parametrize("kind", ["file", "fifo"])
def test_only_a_file_is_waited_for(
    docroot: Docroot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A file on which another program holds a lease is not there at once."""
    if kind == "file":
        (tmp_path / "dev1/a").write_bytes(CONTENT)
    else:
        os.mkfifo(tmp_path / "dev1/a")
    tried: list[int] = []

    def open_leased(_path: bytes, flags: int) -> int:
        tried.append(flags)
        if flags & os.O_NONBLOCK:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return 1234

    monkeypatch.setattr(docroot, "_open_read", open_leased)
    if kind == "file":
        assert docroot.open_read(b"dev1/a") == 1234
        assert tried == [os.O_NONBLOCK, 0]
    else:
        with pytest.raises(BlockingIOError):
            docroot.open_read(b"dev1/a")
        assert tried == [os.O_NONBLOCK]


@pytest.mark.parametrize(
    ("number", "noatime", "tries"),
    [(errno.EPERM, 0x40000, 2), (errno.EPERM, 0, 1), (errno.EACCES, 0x40000, 1)],
)
def test_file_of_another_user_is_read_with_its_access_time(
    docroot: Docroot,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    noatime: int,
    tries: int,
) -> None:
    asked: list[int] = []

    def refuse(_path: bytes, flags: int, *, dir_fd: int) -> int:
        asked.append(flags & 0x40000)
        raise PermissionError(number, os.strerror(number))

    with monkeypatch.context() as refusing:
        refusing.setattr(docroot_module, "_NOATIME", noatime)
        refusing.setattr(os, "open", refuse)
        with pytest.raises(PermissionError):
            docroot.open_read(b"dev1/a")
    assert asked == [noatime, 0][:tries]


def test_umask_is_as_before_and_rules_what_is_made(tmp_path: Path) -> None:
    (tmp_path / "dev1").mkdir()
    before = os.umask(0o027)
    try:
        with closing(Docroot(str(tmp_path))) as docroot:
            docroot.store(b"dev1/0/a", CONTENT)
        assert os.umask(before) == 0o027
    finally:
        os.umask(before)
    assert (tmp_path / "dev1/0").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "dev1/0/a").stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize(
    ("path", "expected"), [(b"dev1", True), (b"dangling", True), (b"dev7", False)]
)
def test_what_is_there(docroot: Docroot, tmp_path: Path, path: bytes, expected: bool) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    assert docroot.is_there(path) is expected


def test_file_is_replaced(docroot: Docroot, tmp_path: Path) -> None:
    docroot.store(b"dev1/a", CONTENT)
    docroot.store(b"dev1/a", b"")
    assert (tmp_path / "dev1/a").read_bytes() == b""
    assert (tmp_path / "dev1/a").stat().st_mode & 0o777 == docroot.file_mode


def test_writes_that_are_cut_short(
    docroot: Docroot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:100]))
    docroot.store(b"dev1/a", CONTENT)
    assert (tmp_path / "dev1/a").read_bytes() == CONTENT


def failing(number: int) -> Callable[..., None]:
    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("call", "instead", "number"),
    [
        ("write", failing(errno.EIO), errno.EIO),
        ("write", lambda _fd, data: len(data[:10]) if len(data) > 690 else 0, errno.ENOSPC),
        ("fchmod", failing(errno.EPERM), errno.EPERM),
        ("link", failing(errno.EXDEV), errno.EXDEV),
        ("rename", failing(errno.ENOENT), errno.ENOENT),
    ],
    ids=["write", "disk-full", "fchmod", "link", "rename"],
)
@pytest.mark.parametrize("old", [None, b"old"], ids=["new", "replaced"])
def test_failure_leaves_what_was_there(
    docroot: Docroot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    instead: Callable[..., int],
    number: int,
    old: bytes | None,
) -> None:
    docroot.store(b"dev1/other", CONTENT)
    if old is not None:
        (tmp_path / "dev1/a").write_bytes(old)
    calls = []

    def fail(*arguments: object, **named: object) -> int:
        calls.append(call)
        return instead(*arguments, **named)

    monkeypatch.setattr(os, call, fail)
    failed: OSError | None = None
    try:
        docroot.store(b"dev1/a", CONTENT)
    except FileError as error:
        failed = error
    # One kind of file does without the call.
    assert bool(calls) == (failed is not None)
    assert failed is None or failed.errno == number
    kept = {"other": CONTENT}
    if failed is None:
        kept["a"] = CONTENT
    elif old is not None:
        kept["a"] = old
    assert {each.name: each.read_bytes() for each in files_below(tmp_path)} == kept
