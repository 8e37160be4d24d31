"""The block that a watcher gets for each report."""

from __future__ import annotations

import pytest

from mogstored.utilization.report import Report, format_block

NAMES = {1: ("sdb1", "sdb"), 2: ("dm-0", "vg-data"), 3: (), 16777215: ("sdb2", "sdb")}


def _names_of(devid: int) -> tuple[str, ...]:
    return NAMES[devid]


@pytest.mark.parametrize(
    ("devids", "report", "block"),
    [
        pytest.param([], {"sda": "1"}, b".\n", id="no device"),
        pytest.param([1], {"sdb": "0.45"}, b"1\t0.45\n.\n", id="whole disk"),
        pytest.param([1], {"sdb": "0.45", "sdb1": "0.10"}, b"1\t0.10\n.\n", id="first name wins"),
        pytest.param([2], {"vg-data": "7.00"}, b"2\t7.00\n.\n", id="device-mapper name"),
        pytest.param([3], {"sda": "1"}, b"3\t-\n.\n", id="no name"),
        pytest.param([1], {}, b"1\t-\n.\n", id="no value"),
        pytest.param([1], {"sd": "1", "sdb10": "2", "sdba": "3"}, b"1\t-\n.\n", id="exact names"),
        pytest.param([1], {"sdb": "-"}, b"1\t-\n.\n", id="value is not known"),
        pytest.param(
            [1, 2, 3, 16777215],
            {"sdb": "100.00", "dm-0": "0.00"},
            b"1\t100.00\n2\t0.00\n3\t-\n16777215\t100.00\n.\n",
            id="all, also those that share a disk",
        ),
    ],
)
def test_block(devids: list[int], report: Report, block: bytes) -> None:
    assert format_block(devids, _names_of, report) == block
