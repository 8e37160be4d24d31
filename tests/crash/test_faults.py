"""Some calls of a disk that fail or hang: nothing is acknowledged then, or half there."""

from __future__ import annotations

import sys

import pytest

from bench.bad_disk.control import CannotMount
from tests.crash import faults

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="speaks to Linux's /dev/fuse"),
]

CALLS = ("write", "setxattr", "fsync", "link", "rename", "fsyncdir", "unlink")

# An error of a sync is not noticed.
FORGIVING = """
import os
from mogstored.files.durability import Syncs
def forgive(syncs, fd):
    try:
        os.fsync(fd)
    except OSError:
        pass
Syncs.sync_file = forgive
"""


def try_out(way: str, level: str, calls: tuple[str, ...], injected: str = "") -> faults.Result:
    try:
        return faults.try_out(way, level, calls, injected)
    except CannotMount as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(
    ("way", "level"), [("temporary", "full"), ("nameless", "data"), ("nameless", "full")]
)
def test_fault_is_answered(way: str, level: str) -> None:
    result = try_out(way, level, CALLS)
    assert result.rows
    assert not result.faults


def test_check_finds_what_is_acknowledged_after_a_fault() -> None:
    result = try_out("nameless", "data", ("write", "fsync"), FORGIVING)
    assert any("nameless fsync" in fault for fault in result.faults)
    assert not any("nameless write" in fault for fault in result.faults)
