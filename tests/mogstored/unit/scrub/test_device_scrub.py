"""A pass over a device that rests end."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

import pytest

from mogstored.scrub import walk
from mogstored.scrub.device_scrub import DeviceScrub
from mogstored.scrub.file_check import FileCheck
from mogstored.scrub.verdict import Finding, Kind, Verdict
from mogstored.scrub.walk import Unmounted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PIECE = 1000


@pytest.mark.parametrize(
    ("rests", "position", "files"),
    [
        # Behind the directory and a file: in the middle of the second one, and behind it.
        (3, b"a", 1),
        (5, b"b", 2),
    ],
)
def test_pass_that_ends_goes_on_with_the_first_file_without_a_verdict(
    tmp_path: Path, rests: int, position: bytes, files: int
) -> None:
    for name, size in (("a", 10), ("b", 2 * _PIECE + 1), ("c", 10)):
        (tmp_path / name).write_bytes(bytes(size))
    left = rests

    def rest(_size: int) -> bool:
        nonlocal left
        left -= 1
        return left > 0

    scrub = DeviceScrub(str(tmp_path), rest, lambda _finding: None, piece=_PIECE)
    assert not scrub.run()
    assert left == 0, "nothing is read after the rest that ended it"
    assert (scrub.position, scrub.tally.files) == (position, files)
    after = DeviceScrub(str(tmp_path), lambda _: True, lambda _: None, position, piece=_PIECE)
    assert after.run()
    assert scrub.tally.files + after.tally.files == 3


def test_directory_that_cannot_be_read_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").touch()
    children = walk._children

    def read(fd: int, *, is_top: bool) -> Iterator[tuple[bytes, bool]]:
        if not is_top:
            raise OSError(errno.EIO, "Input/output error")
        return children(fd, is_top=is_top)

    monkeypatch.setattr(walk, "_children", read)
    findings: list[Finding] = []
    errors: list[tuple[bytes, int | None]] = []
    scrub = DeviceScrub(
        *(str(tmp_path), lambda _: True, findings.append),
        on_error=lambda path, error: errors.append((path, error.errno)),
    )
    assert scrub.run()
    text = "Input/output error (EIO)"
    assert findings == [Finding(f"{tmp_path}/a", "unreadable", "", text)]
    assert errors == [(b"a", errno.EIO)]
    assert (scrub.tally.files, scrub.tally.findings) == (1, 1)


@pytest.mark.parametrize("kind", [Kind.PASSED_OVER, Kind.UNREADABLE])
def test_nothing_is_noted_of_a_file_whose_disk_was_unmounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    device = tmp_path / "dev1"
    device.mkdir()
    (device / "a").touch()

    def step(*_: object) -> tuple[int, Verdict]:
        shutil.rmtree(device)
        return 0, Verdict(kind)

    monkeypatch.setattr(FileCheck, "step", step)
    findings: list[Finding] = []
    scrub = DeviceScrub(str(device), lambda _: True, findings.append)
    with pytest.raises(Unmounted):
        scrub.run()
    assert (scrub.tally.files, findings) == (0, [])
