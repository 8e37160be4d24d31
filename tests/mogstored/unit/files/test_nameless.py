"""Whether a device makes files without a name, as a try shows it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from mogstored.files import nameless

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "dev1").mkdir()
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def makes_them(path: Path) -> bool:
    """Say the same as `can_link`, in plain calls."""
    try:
        fd = os.open(path, os.O_TMPFILE | os.O_RDWR)
    except (AttributeError, OSError):
        return False
    try:
        fds = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(str(fd), path / "plain", src_dir_fd=fds, follow_symlinks=True)
        finally:
            os.close(fds)
        (path / "plain").unlink()
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def test_answer_is_that_of_the_file_system(top: int, tmp_path: Path) -> None:
    assert nameless.can_link(b"dev1", b"dev1/probe", top) is makes_them(tmp_path / "dev1")
    assert list((tmp_path / "dev1").iterdir()) == []


def test_system_without_them(top: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameless, "_TMPFILE", 0)
    assert nameless.can_link(b"dev1", b"dev1/probe", top) is False


REFUSALS = ("EOPNOTSUPP", "EISDIR", "EINVAL", "ENOSYS", "EPERM", "EXDEV")


@pytest.mark.parametrize(
    ("call", "name", "answer"),
    [
        *(("open", name, False) for name in REFUSALS),
        *(("link", name, False) for name in (*REFUSALS, "ENOENT")),
        *(("open", name, None) for name in ("EIO", "ENOSPC", "ENOENT", "EMFILE")),
        *(("link", name, None) for name in ("EIO", "ENOSPC")),
    ],
)
def test_refusal_is_an_answer_and_trouble_is_none(
    top: int, monkeypatch: pytest.MonkeyPatch, call: str, name: str, answer: bool | None
) -> None:
    number = getattr(errno, name)
    open_ = os.open

    def open_named(path: bytes, _flags: int, _mode: int, *, dir_fd: int) -> int:
        return open_(path, os.O_RDONLY, dir_fd=dir_fd)

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(nameless, "_TMPFILE", 1)
    monkeypatch.setattr(os, "open", fail if call == "open" else open_named)
    monkeypatch.setattr(nameless, "link", fail)
    assert nameless.can_link(b"dev1", b"dev1/probe", top) is answer
