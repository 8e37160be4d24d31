"""A pass over a device that rests end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mogstored.scrub.device_scrub import DeviceScrub

if TYPE_CHECKING:
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
