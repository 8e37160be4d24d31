"""The order of a walk, its resumption, and what it leaves alone."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from mogstored.scrub.walk import Unmounted, Walk

if TYPE_CHECKING:
    from pathlib import Path

# Before and behind the slash, by its byte.
NAMES = ["a", "a-b/x", "a.b/y", "a0", "b/", "b/c/d", "b/c0", "b/\xe9", "c\n", "d"]


def make(root: Path) -> list[bytes]:
    """Make files and directories of these names; return the files."""
    for name in NAMES:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (root / "n").mkdir()
    with open(os.fsencode(root) + b"/n/\xff\xfe", "wb"):
        pass
    return [os.fsencode(name) for name in NAMES if not name.endswith("/")] + [b"n/\xff\xfe"]


def files(root: Path, after: bytes = b"") -> list[bytes]:
    return [each.path for each in Walk(str(root)).entries(after) if not each.is_directory]


def in_order(paths: list[bytes]) -> list[bytes]:
    return sorted(paths, key=lambda path: path.split(b"/"))


def test_each_file_once_in_order(tmp_path: Path) -> None:
    assert files(tmp_path) == []
    assert files(tmp_path) == in_order(files(tmp_path))
    made = make(tmp_path)
    assert files(tmp_path) == in_order(made)


def test_it_goes_on_behind_any_file(tmp_path: Path) -> None:
    every = in_order(make(tmp_path))
    for number, path in enumerate(every):
        assert files(tmp_path, path) == every[number + 1 :]


def test_it_goes_on_behind_a_file_that_is_not_there_any_more(tmp_path: Path) -> None:
    every = in_order(make(tmp_path))
    (tmp_path / "a0").unlink()
    shutil.rmtree(tmp_path / "b/c")
    assert files(tmp_path, b"a0") == [each for each in every if each > b"b/" and each != b"b/c/d"]
    assert files(tmp_path, b"b/c/d")[0] == b"b/c0"
    assert files(tmp_path, b"zz/zz") == []


def test_it_goes_on_where_a_directory_has_become_a_file(tmp_path: Path) -> None:
    make(tmp_path)
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "b").touch()
    assert files(tmp_path, b"b/c/d")[0] == b"c\n"


def test_resumed_walks_make_a_whole_one(tmp_path: Path) -> None:
    source = random.Random(1)
    for _ in range(200):
        parts = [source.choice(["0", "00", "1", "-", "x.fid", "~"]) for _ in range(4)]
        path = tmp_path.joinpath(*parts[: source.randint(1, 3)], f"{source.randrange(10)}.f")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    every, found, after = files(tmp_path), [], b""
    while rest := files(tmp_path, after)[: source.randint(1, 9)]:
        found += rest
        after = rest[-1]
    assert found == every


def test_only_regular_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "directory").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "fifo")
    assert files(tmp_path) == [b"file"]


def test_device_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/file").touch()
    (tmp_path / "dev1").symlink_to("disk")
    assert files(tmp_path / "dev1") == [b"file"]


def test_directory_of_the_file_system_is_left_alone(tmp_path: Path) -> None:
    for directory in ("lost+found", "0/lost+found"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "file").touch()
    assert files(tmp_path) == [b"0/lost+found/file"]


def test_nothing_is_open_between_two_entries(tmp_path: Path) -> None:
    make(tmp_path)
    before = len(os.listdir("/dev/fd"))
    entries = Walk(str(tmp_path)).entries()
    assert {len(os.listdir("/dev/fd")) for _ in entries} == {before}


def test_device_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Walk(str(tmp_path / "dev1"))


def test_directory_that_vanishes_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path)
    entries = Walk(str(tmp_path)).entries()
    found = []
    for entry in entries:
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        found.append(entry)
    assert all(entry.error is None for entry in found)
    assert found[-1].path == b"n/\xff\xfe"


def test_directory_that_cannot_be_read_is_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    plain = os.open

    def refuse(path: bytes, *arguments: int) -> int:
        if path.endswith(b"/b/c"):
            raise OSError(5, "Input/output error")
        return plain(path, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    entries = [*Walk(str(tmp_path)).entries()]
    assert [each.path for each in entries if each.error is not None] == [b"b/c"]
    assert b"b/c0" in [each.path for each in entries]


def test_device_that_vanishes_ends_it(tmp_path: Path) -> None:
    device = tmp_path / "dev1"
    device.mkdir()
    make(device)
    entries = Walk(str(device)).entries()
    next(entries)
    shutil.rmtree(device)
    with pytest.raises(Unmounted):
        list(entries)
