"""An exchange is one line that log readers can parse, whatever bytes a client has sent."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mogstored.observability import access_lines
from mogstored.observability.access_lines import (
    CUT,
    FORMATS,
    LONG_HEAD,
    MAX_TEXT,
    access_format,
    shorten,
)
from mogstored.observability.exchange import Exchange
from tests.support.access_lines import parse_combined, parse_json

if TYPE_CHECKING:
    from typing import Any

HEAD = b"GET /dev1/a HTTP/1.1\r\nHost: a\r\nReferer: http://b/\r\nUser-Agent: curl/8\r\n\r\n"
_TIME = r"\d\d:\d\d:\d\d(\.\d+)?"
# What a pipe takes as a whole.
PIPE_BUF = 4096


def exchange(head: bytes = HEAD, **other: Any) -> Exchange:
    fields = {
        "ended_at": time.monotonic(),
        "client": "10.0.0.7",
        "head": head,
        "status": 200,
        "body_sent": 1024,
        "body_received": 0,
        "seconds": 0.25,
        "device": "dev1",
        "waited_s": 0.125,
        "error": "",
    }
    return Exchange(**{**fields, **other})


def combined(head: bytes = HEAD, **other: Any) -> dict[str, str]:
    (line,) = access_format("combined")([exchange(head, **other)])
    assert line.endswith("\n")
    return parse_combined(line[:-1])


def as_json(head: bytes = HEAD, **other: Any) -> dict[str, Any]:
    (line,) = access_format("json")([exchange(head, **other)])
    assert line.endswith("\n")
    return parse_json(line[:-1])


def test_combined_line() -> None:
    shown = combined()
    del shown["time"]
    assert shown == {
        "client": "10.0.0.7",
        "request": "GET /dev1/a HTTP/1.1",
        "status": "200",
        "sent": "1024",
        "referer": "http://b/",
        "agent": "curl/8",
        "device": "dev1",
        "received": "0",
        "duration": "0.250000",
        "waited": "0.125000",
        "error": "-",
    }


def test_json_line() -> None:
    shown = as_json()
    del shown["time"]
    assert shown == {
        "client": "10.0.0.7",
        "method": "GET",
        "target": "/dev1/a",
        "protocol": "HTTP/1.1",
        "status": 200,
        "sent_bytes": 1024,
        "received_bytes": 0,
        "duration_seconds": 0.25,
        "waited_seconds": 0.125,
        "device": "dev1",
        "errno": None,
        "referer": "http://b/",
        "user_agent": "curl/8",
    }


def test_what_is_unknown_is_a_dash_or_null() -> None:
    unknown: dict[str, Any] = {"client": "", "device": ""}
    line = combined(b"GET / HTTP/1.0\r\n\r\n", **unknown)
    dashes = [line[name] for name in ("client", "referer", "agent", "device", "error")]
    assert dashes == ["-"] * 5
    fields = as_json(b"\r\n", **unknown)
    names = ("client", "referer", "user_agent", "device", "errno", "method", "target", "protocol")
    assert [fields[name] for name in names] == [None] * 8


def test_error() -> None:
    assert combined(error="EIO", status=500)["error"] == "EIO"
    assert as_json(error="EIO", status=500)["errno"] == "EIO"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0.000000"),
        (0.00015, "0.000150"),
        (0.0005, "0.000500"),
        (0.00175, "0.001750"),
        (0.001999, "0.001999"),
        (0.002, "0.002000"),
        (61.5, "61.500000"),
    ],
)
def test_durations_have_microseconds(seconds: float, shown: str) -> None:
    line = combined(seconds=seconds + 1e-9, waited_s=seconds)
    assert (line["duration"], line["waited"]) == (shown, shown)
    assert as_json(seconds=seconds)["duration_seconds"] == seconds


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"u" * 700, "u" * 700),
        (b"u" * 701, "u" * 175 + "..."),
        (b"\xff" * 175, r"\xFF" * 175),
        (b"\xff" * 176, r"\xFF" * 175 + "..."),
    ],
)
def test_combined_line_has_700_characters_of_a_text_or_its_beginning(
    text: bytes, shown: str
) -> None:
    head = b"%b\r\nReferer: %b\r\nUser-Agent: %b\r\n\r\n" % (text, text, text)
    (line,) = access_format("combined")([exchange(head)])
    assert line.count(f'"{shown}"') == 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"u" * 700, "u" * 700),
        (b"u" * 701, "u" * 116 + "..."),
        (b"\x01" * 116, "\x01" * 116),
        (b"\x01" * 117, "\x01" * 116 + "..."),
        (b'"' + b"u" * 698, '"' + "u" * 698),
        (b'"' + b"u" * 699, '"' + "u" * 115 + "..."),
    ],
)
def test_json_has_700_characters_of_a_text_or_its_beginning(text: bytes, shown: str) -> None:
    head = b"%b\r\nReferer: %b\r\nUser-Agent: %b\r\n\r\n" % (text, text, text)
    fields = as_json(head)
    assert [fields[name] for name in ("method", "referer", "user_agent")] == [shown] * 3


def timestamp(line: str) -> float:
    if line.startswith("{"):
        return datetime.fromisoformat(parse_json(line)["time"]).timestamp()
    shown = parse_combined(line[:-1])["time"]
    return datetime.strptime(shown, "%d/%b/%Y:%H:%M:%S %z").timestamp()


@pytest.mark.parametrize("format_name", FORMATS)
def test_time_is_when_it_ended(format_name: str) -> None:
    """Exchanges of several seconds in one batch, in any order."""
    ended = time.monotonic()
    ago = (0.0, 100.0, 3.5, 100.0)
    lines = access_format(format_name)([exchange(ended_at=ended - each) for each in ago])
    shown = [timestamp(line) for line in lines]
    now = time.time()
    for at, seconds in zip(shown, ago, strict=True):
        # As shown, it ends within the second; the test may be slow.
        assert now - seconds - 30 < at < now - seconds + 0.1


def test_each_second_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Mock(wraps=time)
    clock.time.side_effect = lambda: 1_764_000_060.5
    clock.monotonic.side_effect = lambda: 1000.0
    clock.localtime.side_effect = time.gmtime
    monkeypatch.setattr(access_lines, "time", clock)
    exchanges = [exchange(ended_at=at) for at in (1000.25, 1000.49, 1000.5, 1001.5, 999.5, 999.49)]
    lines = access_format("json")(exchanges)
    assert [json.loads(line)["time"] for line in lines] == [
        f"2025-11-24T16:{shown}Z"
        for shown in ("01:00.750", "01:00.990", "01:01.000", "01:02.000", "01:00.000", "00:59.990")
    ]
    lines = access_format("combined")(exchanges)
    assert [parse_combined(line[:-1])["time"] for line in lines] == [
        f"24/Nov/2025:16:{shown} +0000"
        for shown in ("01:00", "01:00", "01:01", "01:02", "01:00", "00:59")
    ]


def test_nginx_escapes() -> None:
    head = b'GET /\xe9"\\\x7f\t~ HTTP/1.1\r\nUser-Agent: a"b\\\x1b[2J\xff\r\n\r\n'
    (line,) = access_format("combined")([exchange(head)])
    assert r'"GET /\xE9\x22\x5C\x7F\x09~ HTTP/1.1"' in line
    assert r'"a\x22b\x5C\x1B[2J\xFF"' in line
    assert combined(b"GET /a\rb HTTP/1.1\r\n\r\n")["request"] == "GET /a\rb HTTP/1.1"


def test_json_has_text_as_it_is_meant() -> None:
    head = "GET /ü HTTP/1.1\r\nUser-Agent: sm\u00f8rrebr\u00f8d 🥪\r\n\r\n".encode()
    fields = as_json(head)
    assert (fields["target"], fields["user_agent"]) == ("/ü", "smørrebrød 🥪")
    assert as_json(b"GET /\xff\x00 HTTP/1.1\r\n\r\n")["target"] == "/\\xff\x00"


def test_malformed_lines_are_split_at_their_ends() -> None:
    parts = [as_json(head) for head in (b"\x16\x03\x01", b"PUT", b"GET  a b c\r\n", b"GET /\n\n")]
    assert [(it["method"], it["target"], it["protocol"]) for it in parts] == [
        ("\x16\x03\x01", None, None),
        ("PUT", None, None),
        ("GET", " a b", "c"),
        ("GET", None, "/"),
    ]


def test_an_empty_line_may_come_first() -> None:
    assert combined(b"\r\n" + HEAD)["request"] == "GET /dev1/a HTTP/1.1"
    assert combined(b"\r\n" + HEAD)["agent"] == "curl/8"


def test_names_of_fields_have_no_case_and_must_be_whole() -> None:
    head = b"GET / HTTP/1.1\r\nX-Referer: no\r\nuser-AGENT:\t yes\r\nA: User-Agent: no\r\n\r\n"
    assert (combined(head)["referer"], combined(head)["agent"]) == ("-", "yes")


def test_same_fields_with_another_line_and_the_other_way_round() -> None:
    """Fields are looked up by their bytes; a format is used for many exchanges."""
    made = access_format("combined")
    heads = [
        b"GET /%b HTTP/1.1\r\nUser-Agent: %b\r\n\r\n" % (path, agent)
        for path in (b"a", b"b")
        for agent in (b"c", b"d", b"e" * 5000, b"c")
    ]
    lines = [parse_combined(line[:-1]) for head in heads for line in made([exchange(head)])]
    assert [line["request"][5] for line in lines] == list("aaaabbbb")
    assert [line["agent"][0] for line in lines] == list("cdec" * 2)


def test_kept_fields_are_bounded() -> None:
    made, most = access_format("combined"), 0
    for number in range(1000):
        head = b"PUT / HTTP/1.1\r\nContent-Length: %d\r\nUser-Agent: %d\r\n\r\n" % (number, number)
        (line,) = made([exchange(head)])
        assert parse_combined(line[:-1])["agent"] == str(number)
        most = max(most, len(made.__self__._texts))  # type: ignore[attr-defined]
    assert most == 256


@pytest.mark.parametrize("worst", [b"\xff", b"\x00", b'"', b"a", "\u20ac".encode()])
def test_longest_line_fits_into_a_pipe(worst: bytes) -> None:
    text = worst * 20_000
    head = b"G%b %b %b\r\nReferer: %b\r\nUser-Agent: %b\r\n\r\n" % (
        (text[:300],) * 3 + (text,) * 2
    )
    for format_name in FORMATS:
        made = access_format(format_name)
        for each in (exchange(head), shorten(exchange(head))):
            (line,) = made([each])
            assert len(line.encode()) <= PIPE_BUF
            assert line.count(CUT) >= 2


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("size", [MAX_TEXT - 30, MAX_TEXT, 3000, 60_000])
def test_shortened_head_has_the_same_line(format_name: str, size: int) -> None:
    padding = b"X-Padding: " + b"p" * size + b"\r\n"
    agent = b"User-Agent: " + b"u" * size + b"\r\n"
    head = (
        b"GET /" + b"t" * size + b" HTTP/1.1\r\n" + padding + b"Referer: r\r\n" + agent + b"\r\n"
    )
    for each in (HEAD, head, b"\r\n" + head, head[:200], padding, b"\n" * size):
        whole = exchange(each)
        short = shorten(whole)
        assert len(short[2]) <= LONG_HEAD + 3 * MAX_TEXT
        (shown,), (expected,) = (access_format(format_name)([it]) for it in (short, whole))
        # The time may be a millisecond later.
        assert re.sub(_TIME, "", shown) == re.sub(_TIME, "", expected)


HOSTILE = st.binary(max_size=60) | st.lists(
    st.sampled_from(
        [
            *(b"\r\n", b"\n", b"\r", b'"', b"\\", b" ", b"\x00", b"\x1b[2J", b"\xe2\x80\xa8"),
            *(b"GET / HTTP/1.1\r\n", b"User-Agent:", b"Referer: ", b"\xed\xa0\x80", b"u" * 800),
        ]
    ),
    max_size=8,
).map(b"".join)


@given(head=HOSTILE, line=HOSTILE, agent=HOSTILE)
def test_one_exchange_is_one_parsable_line(head: bytes, line: bytes, agent: bytes) -> None:
    for each in (head, b"%b\r\nA: b\r\nUser-Agent: %b\r\n\r\n" % (line, agent)):
        for format_name, parse in (("combined", parse_combined), ("json", parse_json)):
            (made,) = access_format(format_name)([exchange(each)])
            assert made.isascii()
            assert len(made.splitlines()) == 1
            # The fields around those of the client are still in their places.
            shown: dict[str, Any] = parse(made.removesuffix("\n"))
            assert (shown["client"], shown["device"]) == ("10.0.0.7", "dev1")


@given(line=st.binary(min_size=1, max_size=100), agent=st.binary(max_size=100))
def test_combined_line_has_the_client_s_bytes(line: bytes, agent: bytes) -> None:
    line, agent = (text.translate(None, b"\r\n") for text in (line, agent))
    assume(line)
    shown = combined(b"%b\r\nUser-Agent:%b\r\n\r\n" % (line, agent))
    assert shown["request"].encode("latin-1") == line
    agent = agent.lstrip(b" \t")
    assert shown["agent"].encode("latin-1") == (agent or b"-")
