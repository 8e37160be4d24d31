"""A usage file is replaced as a whole or not at all."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mogstored.devices.usage_file import is_unwanted, write_usage

MODE = 0o640


@pytest.fixture
def device(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def _names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def test_new_file(device: int, tmp_path: Path) -> None:
    write_usage(device, b"new\n", MODE)
    assert _names(tmp_path) == ["usage"]
    assert (tmp_path / "usage").read_bytes() == b"new\n"
    assert (tmp_path / "usage").stat().st_mode & 0o7777 == MODE


def test_old_file_keeps_its_bytes_for_who_has_it_open(device: int, tmp_path: Path) -> None:
    (tmp_path / "usage").write_bytes(b"old old old\n")
    with open(tmp_path / "usage", "rb") as reader:
        write_usage(device, b"new\n", MODE)
        assert reader.read() == b"old old old\n"
    assert (tmp_path / "usage").read_bytes() == b"new\n"


def test_one_write_while_no_reader_may_look(
    device: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = os.write

    def write(fd: int, data: bytes) -> int:
        seen.append((_names(tmp_path), oct(os.fstat(fd).st_mode & 0o777), data))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    write_usage(device, b"line\n" * 7, MODE)
    assert seen == [([f"usage.{os.getpid():x}"], "0o600", b"line\n" * 7)]


def test_left_over_temporary_is_removed(device: int, tmp_path: Path) -> None:
    left_over = tmp_path / f"usage.{os.getpid():x}"
    left_over.write_bytes(b"something much longer than the new text")
    left_over.chmod(0o400)
    write_usage(device, b"new\n", MODE)
    assert _names(tmp_path) == ["usage"]
    assert (tmp_path / "usage").read_bytes() == b"new\n"


def test_link_in_the_place_of_the_temporary_is_not_followed(device: int, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / f"usage.{os.getpid():x}").symlink_to(victim)
    write_usage(device, b"new\n", MODE)
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "usage").is_symlink()


def test_directory_in_the_place(device: int, tmp_path: Path) -> None:
    (tmp_path / "usage").mkdir()
    with pytest.raises(IsADirectoryError):
        write_usage(device, b"new\n", MODE)
    assert _names(tmp_path) == ["usage"]


@pytest.mark.parametrize("call", ["write", "fchmod", "rename"])
def test_failure_keeps_the_old_file(
    device: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (tmp_path / "usage").write_bytes(b"old\n")

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_usage(device, b"new\n", MODE)
    monkeypatch.undo()
    assert _names(tmp_path) == ["usage"]
    assert (tmp_path / "usage").read_bytes() == b"old\n"


def test_short_write_is_a_full_disk(
    device: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", lambda _fd, data: len(data) - 1)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_usage(device, b"new\n", MODE)
    assert _names(tmp_path) == []


def test_close_that_reports_the_full_disk(
    device: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.close

    def close(fd: int) -> None:
        real(fd)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "close", close)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_usage(device, b"new\n", MODE)
    monkeypatch.undo()
    assert _names(tmp_path) == []


def test_reader_never_sees_a_part(device: int, tmp_path: Path) -> None:
    texts = {b"a" * 150, b"b" * 170}
    write_usage(device, b"a" * 150, MODE)
    done = threading.Event()

    def write() -> None:
        try:
            for _ in range(100):
                for text in texts:
                    write_usage(device, text, MODE)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add((tmp_path / "usage").read_bytes())
    writer.join()
    assert seen <= texts


@pytest.mark.parametrize(("mode", "unwanted"), [(0o000, True), (0o400, False), (0o004, False)])
def test_file_without_permissions_is_respected(
    device: int, tmp_path: Path, mode: int, unwanted: bool
) -> None:
    (tmp_path / "usage").touch()
    (tmp_path / "usage").chmod(mode)
    assert is_unwanted(device) is unwanted


def test_no_file_yet_is_wanted(device: int) -> None:
    assert not is_unwanted(device)


def test_link_to_a_file_without_permissions_is_replaced(device: int, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch(0)
    (tmp_path / "elsewhere").chmod(0)
    (tmp_path / "usage").symlink_to("elsewhere")
    assert not is_unwanted(device)
