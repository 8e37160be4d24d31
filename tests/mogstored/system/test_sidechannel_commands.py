"""Commands and their replies: order, pieces, limits, unknown words."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.arrival import wait_until_taken
from tests.support.daemon import Node
from tests.support.sidechannel import Manager

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = b"/dev16777215/0/000/000/0123456789.fid"
INVALID = b"ERROR: uri invalid (contains ..)\r\n"
MAX_LINE = 496


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(mgmt=True) as node:
        node.write("/dev1/f", b"content")
        yield node


def test_nothing_is_said_before_the_first_command(client: Manager) -> None:
    client.expect_silence()


@pytest.mark.parametrize("line", [b"\r\n", b"\n", b" \r\n", b"\t \n"])
def test_blank_line_is_answered(client: Manager, line: bytes) -> None:
    client.send(line)
    assert client.read_line() == b"\r\n"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"hello", b"hello"),
        (b"  hello  ", b"hello"),
        (b"size bad", b"size"),
        (b"size /foo bar", b"size"),
        (b"size  /foo", b"size"),
        (b"size /foo ", b"size"),
        (b"MD5 /a_b", b"MD5"),
        (b"md5 /x", b"md5"),
        (b"WATCH", b"WATCH"),
        (b"version", b"version"),
        (b"shutdown now", b"shutdown"),
        (b"server max_connections = 5", b"server"),
        (b"\xff\x00", b"\xff\x00"),
    ],
)
def test_unknown_command_is_answered_with_its_word(
    client: Manager, line: bytes, word: bytes
) -> None:
    assert client.ask(line) == b"ERROR: unknown command: " + word + b"\r\n"
    assert client.ask(b"") == b"\r\n"


@pytest.mark.parametrize("command", [b"size", b"MD5", b"SHA-1"])
@pytest.mark.parametrize("path", [b"/a/../b", b"/..", LONGEST + b"0"])
def test_invalid_path_is_refused_and_the_connection_kept(
    client: Manager, command: bytes, path: bytes
) -> None:
    assert client.ask(command + b" " + path) == INVALID
    assert client.ask(b"size /dev1/f") == b"/dev1/f 7\r\n"


@pytest.mark.parametrize(
    ("command", "reply"),
    [(b"size", b" -1\r\n"), (b"MD5", b" MD5=-1\r\n"), (b"SHA-1", b" SHA-1=-1\r\n")],
)
def test_longest_path_is_looked_for(client: Manager, command: bytes, reply: bytes) -> None:
    assert client.ask(command + b" " + LONGEST) == LONGEST + reply


def test_200_size_lines_in_a_row(client: Manager) -> None:
    for _ in range(200):
        assert client.ask(b"size /dev1/f") == b"/dev1/f 7\r\n"
    client.send(b"size /dev1/f\r\n" * 200)
    assert client.read_lines(200) == [b"/dev1/f 7\r\n"] * 200


def test_replies_come_in_order(client: Manager) -> None:
    client.send(b"MD5 /dev1/no fsck\nsize /dev1/f\r\nhello\n\nMD5 /..\r\nsize /dev1/no\n")
    assert client.read_lines(6) == [
        b"/dev1/no MD5=-1\r\n",
        b"/dev1/f 7\r\n",
        b"ERROR: unknown command: hello\r\n",
        b"\r\n",
        INVALID,
        b"/dev1/no -1\r\n",
    ]


def test_commands_arrive_byte_by_byte(client: Manager) -> None:
    for byte in b"size /dev1/f\r\nMD5 /dev1/no\r\n":
        client.send(bytes([byte]))
        wait_until_taken(client)
    assert client.read_lines(2) == [b"/dev1/f 7\r\n", b"/dev1/no MD5=-1\r\n"]


def test_connection_is_kept_between_commands(client: Manager) -> None:
    assert client.ask(b"size /dev1/f") == b"/dev1/f 7\r\n"
    client.expect_silence(0.3)
    assert client.ask(b"size /dev1/f") == b"/dev1/f 7\r\n"


def test_commands_before_the_end_of_the_stream_are_answered(client: Manager) -> None:
    client.send(b"size /dev1/f\r\nMD5 /dev1/no\r\nsize /unfinish")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.read_to_eof() == b"/dev1/f 7\r\n/dev1/no MD5=-1\r\n"


@pytest.mark.parametrize("size", [480, MAX_LINE])
def test_long_line_is_answered(client: Manager, size: int) -> None:
    word = b"a" * size
    client.send(word + b"\n")
    assert client.read_line() == b"ERROR: unknown command: " + word + b"\r\n"


@pytest.mark.parametrize("size", [MAX_LINE + 1, 400 * 1024])
def test_line_that_is_too_long_resets_the_connection(
    node: Node, client: Manager, size: int
) -> None:
    assert client.ask(b"") == b"\r\n"
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        _send_and_read(client, b"a" * size)
    node.wait_for_log(r"mgmt request too large")


def _send_and_read(client: Manager, data: bytes) -> None:
    """Write and then read, one of which has to fail."""
    client.send(data)
    assert client.sock.recv(100) == b"", "answered"
    raise AssertionError("closed without a reset")
