"""What various systems and versions of iostat print, as one or in pieces."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.utilization.iostat_parser import IostatParser

SYSSTAT_12 = b"""\
Linux 6.1.0 (host) \t01/01/2025 \t_x86_64_\t(8 CPU)

Device            r/s     rkB/s   rrqm/s  %rrqm r_await rareq-sz     w/s  aqu-sz  %util
dm-0             0.30     76.56     0.00   0.00    0.10    10.00    0.00    0.03   0.20
nvme0n1          1.05     31.95     0.00   0.00    0.10    10.00    0.00    0.82   0.45
sda              1.05     31.95     0.00   0.00    0.10    10.00    0.00    0.82 100.00


Device            r/s     rkB/s   rrqm/s  %rrqm r_await rareq-sz     w/s  aqu-sz  %util
dm-0             0.00      0.00     0.00   0.00    0.00     0.00    0.00    0.00   0.00
sda              9.00     36.00     0.00   0.00    0.10     4.00    0.00    0.82  12.40

"""
SYSSTAT_10 = b"""\
Linux 3.2.0-4-amd64 (host) \t01/01/2014 \t_x86_64_\t(2 CPU)

Device:         rrqm/s   wrqm/s     r/s     w/s avgrq-sz avgqu-sz   await  svctm  %util
sda               0.01     1.36    0.21    1.04    26.20     0.01    4.57   0.91   0.11
cciss/c0d0        0.01     1.36    0.21    1.04    26.20     0.01    4.57   0.91   3.00

"""
# Without -d there is a table on processors in each report.
SYSSTAT_WITH_CPU = b"""\
Linux 6.1.0 (host)  01/01/2025  _x86_64_  (8 CPU)

avg-cpu:  %user   %nice %system %iowait  %steal   %idle
           1.52    0.00    0.61    0.12    0.00   97.75

Device            r/s  %util
sda              1.05   0.45

avg-cpu:  %user   %nice %system %iowait  %steal   %idle
           2.00    0.00    0.61    0.12    0.00   97.27

Device            r/s  %util
sda              1.05   0.46

"""
# With -t there is the time before each report.
WITH_TIME = b"""\
Linux 6.1.0 (host)  01/01/2025  _x86_64_  (8 CPU)

01/01/2025 10:00:00
Device            r/s  %util
sda              1.05   0.45

"""
FREEBSD_10 = b"""\
                        extended device statistics  
device     r/s   w/s    kr/s    kw/s qlen svc_t  %b  
ada0       0.1   3.2     1.5    40.1    0   0.4   1 
ada1       0.0   0.0     0.0     0.0    0   0.0   0 
                        extended device statistics  
device     r/s   w/s    kr/s    kw/s qlen svc_t  %b  
ada0       0.1   3.2     1.5    40.1    0   0.4  99 
"""  # noqa: W291
FREEBSD_14 = b"""\
                        extended device statistics  
device       r/s     w/s     kr/s     kw/s  ms/r  ms/w  ms/o  ms/t qlen  %b  
ada0           0       3      1.5     40.1     0     0     0     0    0   1 
nda0           0       0      0.0      0.0     0     0     0     0    0   0 
                        extended device statistics  
device       r/s     w/s     kr/s     kw/s  ms/r  ms/w  ms/o  ms/t qlen  %b  
"""  # noqa: W291

SAMPLES = [
    pytest.param(
        SYSSTAT_12,
        [
            {"dm-0": "0.20", "nvme0n1": "0.45", "sda": "100.00"},
            {"dm-0": "0.00", "sda": "12.40"},
        ],
        id="sysstat-12",
    ),
    pytest.param(SYSSTAT_10, [{"sda": "0.11", "cciss/c0d0": "3.00"}], id="sysstat-10"),
    pytest.param(SYSSTAT_WITH_CPU, [{"sda": "0.45"}, {"sda": "0.46"}], id="sysstat-cpu"),
    pytest.param(WITH_TIME, [{"sda": "0.45"}], id="sysstat-time"),
    # The next header ends a report, and the last one is never ended.
    pytest.param(FREEBSD_10, [{"ada0": "1", "ada1": "0"}], id="freebsd-10"),
    pytest.param(FREEBSD_14, [{"ada0": "1", "nda0": "0"}], id="freebsd-14"),
]


def _parse(*pieces: bytes) -> list[Mapping[str, str]]:
    parser = IostatParser()
    return [report for piece in pieces for report in parser.feed(piece)]


@pytest.mark.parametrize(("text", "reports"), SAMPLES)
def test_samples(text: bytes, reports: list[Mapping[str, str]]) -> None:
    assert _parse(text) == reports


@pytest.mark.parametrize(("text", "reports"), SAMPLES)
def test_samples_byte_by_byte(text: bytes, reports: list[Mapping[str, str]]) -> None:
    assert _parse(*(bytes([byte]) for byte in text)) == reports


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"", b" ", b"Device r/s %util", b"x" * 9000, b"sda", b"12.5", b"a 1.2.3"]
        ),
        st.builds(
            b"%b%b %b%b".__mod__,
            st.tuples(
                st.sampled_from([b"", b" ", b"\t "]),
                st.sampled_from([b"sda", b"dm-0:", b"n" * 71, b"n" * 72, b"\xff", b"0.5"]),
                st.sampled_from([b"", b"1 2 ", b"x \t"]),
                st.sampled_from([b"0.45", b"1234567", b"12345678", b"x", b"1 ", b"9\t"]),
            ),
        ),
    ),
    max_size=12,
).map(lambda lines: b"".join(line + b"\n" for line in lines))


@given(LINES, st.data())
def test_pieces_make_no_difference(text: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    ends = [*cuts, len(text)]
    pieces = [text[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    assert _parse(*pieces) == _parse(text)


@given(st.binary(max_size=300))
def test_garbage_is_survived(text: bytes) -> None:
    for report in _parse(text, b"\n\n"):
        assert all(len(value) <= 7 for value in report.values())


@pytest.mark.parametrize(
    ("line", "report"),
    [
        (b"sda 5", {"sda": "5"}),
        (b"  sda 1 2 0.45", {"sda": "0.45"}),
        (b"\tsda\t1\t0.45\t ", {"sda": "0.45"}),
        (b"sda: 0.45", {"sda": "0.45"}),
        (b"sda1:2: 0.45", {"sda1:2": "0.45"}),
        (b"vg-data_x.y+z 0.45", {"vg-data_x.y+z": "0.45"}),
        (b"sda 1234567", {"sda": "1234567"}),
        (b"sda 1234.56", {"sda": "1234.56"}),
        (b"sda 12345678", {"sda": "-"}),
        (b"sda text in between 0.45", {"sda": "0.45"}),
        (b"\xc3\xa9 0.45", {"é": "0.45"}),
        (b"n" * 71 + b" 1", {"n" * 71: "1"}),
        # It is a disk's line all the same, so the report goes on.
        (b"n" * 72 + b" 1", {}),
        (b": 1", {}),
    ],
)
def test_line_of_a_disk(line: bytes, report: Mapping[str, str]) -> None:
    assert _parse(line + b"\n\n") == [report]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"   ",
        b"sda",
        b"0.45",
        b"Device %util",
        b"Linux 6.6.6 (x) 01/01/2025 _x86_64_ (666 CPU)",
        b"   1.00 0.00 97.00",
        b"avg-cpu:  %user   %nice %system %iowait  %steal   %idle\r",
        b"Device r/s %util\r",
        b"01/01/2025 10:00:00",
        b"Time: 10:00:00",
        b"2025-01-01T10:00:00+0000",
        b"s" * 9000 + b" 0.45",
    ],
)
def test_any_other_line_ends_a_report(line: bytes) -> None:
    assert _parse(line + b"\n") == []
    assert _parse(b"sda 0.45\n" + line + b"\n") == [{"sda": "0.45"}]


def test_only_the_first_of_several_other_lines_ends_a_report() -> None:
    assert _parse(b"sda 0.45\n\n\nDevice %util\n") == [{"sda": "0.45"}]


def test_vanished_disk_is_forgotten() -> None:
    assert _parse(b"sda 1\nsdb 2\n\nsda 3\n\n") == [{"sda": "1", "sdb": "2"}, {"sda": "3"}]


def test_later_line_of_the_same_disk_counts() -> None:
    assert _parse(b"sda 1\nsda 2\n\n") == [{"sda": "2"}]


def test_unfinished_report_is_dropped_with_its_run() -> None:
    assert _parse(b"sda 1\nsdb 2\n") == []


def test_endless_line_costs_no_memory() -> None:
    parser = IostatParser()
    parser.feed(b"sda 1\n")
    for _ in range(100):
        assert parser.feed(b"x" * 65536) == []
    assert len(parser._line) < 10_000
    assert parser.feed(b" 0.45\n") == [{"sda": "1"}]


@pytest.mark.parametrize(
    "line",
    [
        b"sda 1,52 0,45",
        b"sda 0.45x",
        b"sda -1.0",
        b"sda 1e5",
        b"sda 1.0 nan",
        b"sda 1.0 -nan",
        b"sda 1.0 inf\r",
        b"sda 0.45\r",
        b"sda 1.0 \x1b[32;22m0.45\x1b[0m",
    ],
)
def test_disk_without_a_number_is_unknown_and_noticed(line: bytes) -> None:
    parser = IostatParser()
    reports = parser.feed(b"Device r/s %util\nsda1 1 0.10\n" + line + b"\nsdb 1 0.30\n\n")
    assert reports == [{"sda1": "0.10", "sda": "-", "sdb": "0.30"}]
    assert parser.odd_line == line.decode()


def test_colour_of_the_name_is_noticed() -> None:
    parser = IostatParser()
    parser.feed(b"\x1b[36;1msda\x1b[0m 1.0 \x1b[32m0.45\x1b[0m\n")
    assert parser.odd_line == "\x1b[36;1msda\x1b[0m 1.0 \x1b[32m0.45\x1b[0m"


JSON = b"""\
{"sysstat": {
  "hosts": [
    {
      "nodename": "host",
      "statistics": [
        {
          "disk": [
            {"disk_device": "sda", "r/s": 1.05, "util": 0.45}
"""


def test_json_is_noticed() -> None:
    parser = IostatParser()
    parser.feed(JSON)
    assert parser.odd_line is not None
    assert parser.odd_line.strip() in JSON.decode()


def test_only_the_first_odd_line_is_kept() -> None:
    parser = IostatParser()
    parser.feed(b"sda nan\nsdb 0,45\n")
    assert parser.odd_line == "sda nan"


@pytest.mark.parametrize(("text", "reports"), SAMPLES)
def test_nothing_of_what_iostat_prints_is_odd(
    text: bytes, reports: list[Mapping[str, str]]
) -> None:
    parser = IostatParser()
    parser.feed(text * 50)
    assert parser.odd_line is None


def test_text_without_any_disk_is_noticed_in_the_end() -> None:
    """Such as the numbers before the name, as `iostat --pretty` prints them."""
    parser = IostatParser()
    parser.feed(b"0.45 sda\n" * 99)
    assert parser.odd_line is None
    parser.feed(b"0.45 sdb\n")
    assert parser.odd_line == "0.45 sdb"


@pytest.mark.parametrize("word", [b"1" * 8000, b"1." * 4000], ids=["digits", "dots"])
def test_long_line_is_read_in_linear_time(word: bytes) -> None:
    # Any other takes near a second, in which nothing else runs.
    began = time.thread_time()
    assert IostatParser().feed(b"sda " + word + b" x\n") == []
    assert time.thread_time() - began < 0.1
