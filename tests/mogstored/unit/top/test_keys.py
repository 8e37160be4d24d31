"""Bytes of a terminal become keys."""

from __future__ import annotations

import os
import termios
from typing import Any

import pytest

from mogstored.top.keys import KeyReader, keys_at_once


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"qP ", ["q", "P", " "]),
        (b"\r\n", ["enter", "enter"]),
        (b"\x7f\b", ["backspace", "backspace"]),
        (b"\x1b[A\x1bOB", ["up", "down"]),
        (b"\x1b[5~\x1b[6~x", ["page up", "page down", "x"]),
        (b"\x1b[H\x1b[4~\x1bOF", ["home", "end", "end"]),
        (b"\x1b[1~\x1b[7~\x1bOH", ["home"] * 3),
        (b"\x1b[F\x1b[8~", ["end"] * 2),
        (b"\x1b[B\x1bOA", ["down", "up"]),
        ("ä€😀".encode(), ["ä", "€", "😀"]),
        # What has no name does nothing: F5, a mouse report, a focus report, Ctrl-A.
        (b"\x1b[15~\x1b[<0;1;1M\x1b[I\x01a", ["a"]),
        (b"\xff\xfe\xc3a\x80b", ["a", "b"]),
        (b"\x1bq", ["escape", "q"]),
        (b"", []),
    ],
)
def test_keys_are_named(sent: bytes, keys: list[str]) -> None:
    assert KeyReader().feed(sent) == keys


@pytest.mark.parametrize("sent", [b"\x1b[A", b"\x1b[5~", b"\x1bOH", "€".encode(), "😀".encode()])
def test_sequence_in_pieces_is_one_key(sent: bytes) -> None:
    whole, reader = KeyReader().feed(sent), KeyReader()
    pieces = [sent[i : i + 1] for i in range(len(sent))]
    assert [key for piece in pieces for key in reader.feed(piece)] == whole
    assert not reader.is_waiting


def test_escape_alone_is_a_key_if_nothing_follows() -> None:
    reader = KeyReader()
    assert (reader.feed(b"\x1b"), reader.is_waiting) == ([], True)
    assert (reader.flush(), reader.is_waiting) == (["escape"], False)
    assert reader.flush() == []


def test_sequence_has_32_bytes_at_most() -> None:
    reader = KeyReader()
    reader.feed(b"\x1b[" + b"1" * 29)
    assert reader.is_waiting
    assert reader.feed(b"1")[0] == "escape"
    assert not reader.is_waiting


def test_endless_sequence_is_given_up() -> None:
    reader = KeyReader()
    for _ in range(100):
        reader.feed(b"\x1b[" + b"1" * 100)
    assert len(reader._pending) < 200
    assert reader.feed(b"mq")[-1] == "q"


def fail_in(mode: list[Any]) -> None:
    assert not mode[3] & (termios.ICANON | termios.ECHO)
    assert mode[3] & termios.ISIG
    assert (mode[6][termios.VMIN], mode[6][termios.VTIME]) == (1, 0)
    raise ZeroDivisionError


def test_terminal_is_as_before_even_after_an_error() -> None:
    master, slave = os.openpty()
    try:
        before = termios.tcgetattr(slave)
        before[6][termios.VMIN], before[6][termios.VTIME] = b"\x05", b"\x03"
        termios.tcsetattr(slave, termios.TCSANOW, before)
        with pytest.raises(ZeroDivisionError), keys_at_once(slave):
            fail_in(termios.tcgetattr(slave))
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)
