"""The numbers of a usage record, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.devices.usage import Fill, UsageRecord, measure, printable_source


@dataclass(frozen=True)
class Numbers:
    """What `statvfs` says."""

    f_blocks: int
    f_bfree: int
    f_bavail: int
    f_frsize: int = 4096
    f_bsize: int = 4096
    f_files: int = 0
    f_favail: int = 0


@pytest.mark.parametrize(
    ("numbers", "fill"),
    [
        pytest.param(Numbers(1000, 600, 600), Fill(2400, 4000, 1600, 40), id="plain"),
        pytest.param(
            Numbers(1000, 600, 550), Fill(2200, 3800, 1600, 43), id="reserve is left out"
        ),
        pytest.param(Numbers(1000, 50, 0), Fill(0, 3800, 3800, 100), id="only the reserve left"),
        pytest.param(Numbers(1000, 0, 0), Fill(0, 4000, 4000, 100), id="full"),
        pytest.param(Numbers(1000, 999, 999), Fill(3996, 4000, 4, 1), id="percent is rounded up"),
        pytest.param(
            Numbers(1000, 600, 600, f_files=500, f_favail=0),
            Fill(2400, 4000, 1600, 40, 500, 0),
            id="inodes",
        ),
        pytest.param(
            Numbers(1000, 600, 600, f_files=500, f_favail=501),
            Fill(2400, 4000, 1600, 40),
            id="more inodes free than there are",
        ),
        pytest.param(Numbers(1000, 1, 1), Fill(4, 4000, 3996, 100), id="99.9 percent"),
        pytest.param(
            Numbers(1001, 500, 500, f_frsize=512), Fill(250, 500, 250, 51), id="small fragments"
        ),
        pytest.param(
            Numbers(3, 2, 2, f_frsize=512), Fill(1, 2, 1, 34), id="nothing is divided too early"
        ),
        pytest.param(
            Numbers(10, 5, 5, f_frsize=0, f_bsize=2048),
            Fill(10, 20, 10, 50),
            id="no fragment size",
        ),
        pytest.param(
            Numbers(1000, 20, -30), Fill(0, 3920, 3920, 100), id="reserve in use, negative"
        ),
        pytest.param(
            Numbers(1000, 20, 2**64 - 30), Fill(0, 3920, 3920, 100), id="reserve in use, unsigned"
        ),
        pytest.param(
            Numbers(1000, 500, 600), Fill(2400, 4400, 2000, 46), id="more available than free"
        ),
        pytest.param(
            Numbers(1000, 1100, 900), Fill(3600, 3601, 1, 0), id="more free than there is"
        ),
        pytest.param(Numbers(0, 0, 0), Fill(0, 1, 1, 0), id="no blocks at all"),
        pytest.param(Numbers(1000, 1000, 1000), Fill(4000, 4001, 1, 0), id="nothing used"),
        pytest.param(Numbers(2, 1, 1, f_frsize=512), Fill(0, 1, 1, 50), id="tiny"),
        pytest.param(
            Numbers(2**50, 2**49, 2**49), Fill(2**51, 2**52, 2**51, 50), id="larger than 64 bits"
        ),
    ],
)
def test_numbers(numbers: Numbers, fill: Fill) -> None:
    assert measure(numbers) == fill


blocks = st.integers(0, 2**40)


@given(blocks, blocks, st.integers(-(2**40), 2**40), st.sampled_from([512, 1024, 4096, 131072]))
def test_numbers_make_sense_together(total: int, free: int, available: int, fragment: int) -> None:
    fill = measure(Numbers(total, free, available, fragment))
    assert fill.total_kib >= fill.used_kib + fill.available_kib
    assert fill.used_kib >= 1
    assert fill.available_kib >= 0
    assert 0 <= fill.use_percent <= 100


def test_seven_lines() -> None:
    fill = Fill(82721264, 106390912, 23669648, 23)
    record = UsageRecord(1, 1795466436, fill, "/dev/vda", "/var/mogdata/dev1")
    assert record.text() == (
        b"available: 82721264\n"
        b"device: /dev/vda\n"
        b"disk: /var/mogdata/dev1\n"
        b"time: 1795466436\n"
        b"total: 106390912\n"
        b"use: 23%\n"
        b"used: 23669648\n"
    )


def test_docroot_that_is_no_utf_8_is_written_as_it_is() -> None:
    record = UsageRecord(1, 0, Fill(1, 2, 1, 50), "/dev/sda", "/mog\udcff/dev1")
    assert b"\ndisk: /mog\xff/dev1\n" in record.text()


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("/dev/sda1", "/dev/sda1"),
        ("tank/mog", "tank/mog"),
        ("tmpfs", "tmpfs"),
        ("host:/export", "host:/export"),
        ("", "/unknown"),
        ("a b\tc\nd", "a_b_c_d"),
        ("//server/my share", "//server/my_share"),
    ],
)
def test_source_is_one_word(source: str, word: str) -> None:
    assert printable_source(source) == word
