"""A run that requires a program has no test that is skipped for want of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.project._tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SKIPS = """
import pytest

pytestmark = pytest.mark.timeout(50)

@pytest.mark.skipif(True, reason="promtool is not installed")
def test_by_mark(): pass

def test_by_call(): pytest.skip("there is no mkfs.xfs")

def test_otherwise(): pytest.skip("mkfs.xfs-more is for another system")

@pytest.mark.xfail(reason="promtool is old", strict=True)
def test_expected_to_fail(): assert False
"""


def outcomes(folder: Path, required: str) -> list[tuple[str, str]]:
    """Return the outcomes that pytest sums up, in order."""
    (folder / "test_skips.py").write_text(SKIPS)
    (folder / "test_whole.py").write_text("import pytest\npytest.importorskip('no_promtool')\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MOG_CI_REQUIRES": required},
        capture_output=True,
        text=True,
        check=False,
    )
    summary = run.stdout.splitlines()[-1]
    return re.findall(r"(\d+) (passed|failed|errors?|skipped|xfailed)", summary)


@pytest.mark.parametrize(
    ("required", "expected"),
    [
        ("", [("4", "skipped"), ("1", "xfailed")]),
        ("promtool", [("3", "skipped"), ("1", "xfailed"), ("1", "error")]),
        (
            "promtool mkfs.xfs",
            [("1", "failed"), ("2", "skipped"), ("1", "xfailed"), ("1", "error")],
        ),
        ("no_promtool", [("1", "error")]),
    ],
)
def test_skip_for_want_of_a_required_program_fails(
    tmp_path: Path, required: str, expected: list[tuple[str, str]]
) -> None:
    assert outcomes(tmp_path, required) == expected
