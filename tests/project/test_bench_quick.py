"""The regression guard's verdict, and the figures that it is held against."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.quick import RECORDED, TOLERANCE, judge, read_recorded
from bench.tools import ToolMissing


def test_ratio_beyond_the_tolerance_fails_and_is_named() -> None:
    lines, passed = judge({"get-1k": 1.31, "put-1k": 1.29}, {"get-1k": 1.0, "put-1k": 1.0})
    assert not passed
    assert [line.split()[-1] for line in lines] == ["verdict", "REGRESSION", "ok"]


def test_ratio_at_the_tolerance_passes() -> None:
    assert judge({"get-1k": 2 * TOLERANCE}, {"get-1k": 2.0})[1]


def test_record_in_the_tree_is_complete() -> None:
    assert min(read_recorded(RECORDED).values()) > 0


def test_record_without_a_work_is_refused(tmp_path: Path) -> None:
    record = tmp_path / "recorded.json"
    record.write_text(json.dumps({"get-1k": 1.0}))
    with pytest.raises(ToolMissing, match="get-64k"):
        read_recorded(record)
