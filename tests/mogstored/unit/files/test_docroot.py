"""A body that is there becomes a file in one go, or leaves no trace."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from mogpoll import FileError
from mogstored.devices.device import Devices
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
