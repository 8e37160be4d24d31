"""A few power cuts: what was acknowledged is there, and the check finds what is not."""

from __future__ import annotations

import os
import shutil
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest

from bench.bad_disk.control import CannotMount
from tests.crash.history import Name, Verdict
from tests.support.required import PATH

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts images as Linux does")

MIB = 1 << 20


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize(
    ("level", "kind", "moments"),
    [("none", "ext4", 4), ("data", "ext4", 6), ("full", "ext4", 6), ("full", "xfs", 3)],
)
def test_promise_is_kept(level: str, kind: str, moments: int) -> None:
    from tests.crash import power

    if shutil.which(f"mkfs.{kind}", path=PATH) is None:
        pytest.skip(f"there is no mkfs.{kind}")
    try:
        result = power.try_out(level, kind, moments=moments, seconds=1.0, seed=1)
    except CannotMount as reason:
        pytest.skip(str(reason))
    assert result.is_right(), result


def judge(found: str | None, moment: int) -> Verdict:
    """Judge what is there after: PUT a (1 to 3), PUT b (5 to 7), DELETE (9 to 11)."""
    name = Name()
    for digest, sent in (("a", 1), ("b", 5), (None, 9)):
        name.begin(digest, sent).answered = sent + 2
    return name.judge(found, moment)


@pytest.mark.parametrize(
    ("found", "moment", "verdict"),
    [
        (None, 0, Verdict.RIGHT),
        (None, 2, Verdict.RIGHT),
        ("a", 2, Verdict.RIGHT),
        (None, 3, Verdict.LOST),
        ("a", 6, Verdict.RIGHT),
        ("b", 6, Verdict.RIGHT),
        (None, 6, Verdict.LOST),
        ("a", 8, Verdict.LOST),
        ("b", 4, Verdict.HALF),
        ("", 8, Verdict.HALF),
        ("b", 10, Verdict.RIGHT),
        (None, 10, Verdict.RIGHT),
        ("b", 11, Verdict.BACK),
        (None, 11, Verdict.RIGHT),
    ],
)
def test_verdict(found: str | None, moment: int, verdict: Verdict) -> None:
    assert judge(found, moment) is verdict


def test_image_has_what_was_flushed_and_a_part_of_the_rest(tmp_path: Path) -> None:
    from tests.crash.record import BLOCK, Images, Record
    from tests.crash.recorder import EVENT

    writes = [(0, b"a" * BLOCK), (0, b""), (0, b"b" * BLOCK), (BLOCK - 10, b"c" * BLOCK)]
    (tmp_path / "record").write_bytes(
        b"".join(EVENT.pack(offset, len(data)) + data for offset, data in writes)
    )
    base, image = tmp_path / "base", tmp_path / "image"
    with base.open("wb") as file:
        file.truncate(MIB)
    images = Images(base, Record(tmp_path / "record"), tmp_path)
    images.build(1, image, Random(2))
    seen = set()
    draw = Random(1)
    for _ in range(200):
        images.build(4, image, draw)
        content = image.read_bytes()
        assert len(content) == MIB
        seen.add((content[0:1], content[BLOCK - 1 : BLOCK], content[BLOCK : BLOCK + 1]))
    assert {first for first, _, _ in seen} == {b"a", b"b"}
    # The last write may be torn at the end of a block; elsewhere nothing is.
    assert seen == {
        (first, last, after)
        for first in (b"a", b"b")
        for last in (first, b"c")
        for after in (b"\0", b"c")
    }
