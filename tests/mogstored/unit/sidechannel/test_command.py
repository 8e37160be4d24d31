"""Lines to commands, and the replies to lines that are none."""

from __future__ import annotations

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.sidechannel.command import (
    Digest,
    Reply,
    SetThreads,
    Shutdown,
    Size,
    Watch,
    parse_command,
)

LONGEST = b"/dev16777215/0/000/000/0123456789.fid"
INVALID = Reply(b"ERROR: uri invalid (contains ..)")
ALGORITHMS = (b"MD5", b"SHA-1", b"SHA-224", b"SHA-256", b"SHA-384", b"SHA-512")
PATH_ALPHABET = (string.ascii_letters + string.digits + "/.-").encode()


def unknown(word: bytes) -> Reply:
    return Reply(b"ERROR: unknown command: " + word)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"size /dev1/0/000/000/0000000001.fid", Size(b"/dev1/0/000/000/0000000001.fid")),
        (b"size /dev1/f\r", Size(b"/dev1/f")),
        (b"size /", Size(b"/")),
        (b"size //dev1/x", Size(b"//dev1/x")),
        (b"size /A-Za-z0.9/", Size(b"/A-Za-z0.9/")),
        (b"size " + LONGEST, Size(LONGEST)),
        (b"MD5 /dev1/f", Digest(b"MD5", b"/dev1/f")),
        (b"MD5 /dev1/f\r", Digest(b"MD5", b"/dev1/f")),
        (b"MD5 /dev1/f fsck", Digest(b"MD5", b"/dev1/f", fsck=True)),
        (b"MD5 /dev1/f fsck\r", Digest(b"MD5", b"/dev1/f", fsck=True)),
        (b"MD5 /dev1/f FSCK", Digest(b"MD5", b"/dev1/f")),
        (b"MD5 /dev1/f some_Reason9", Digest(b"MD5", b"/dev1/f")),
        (b"MD5 " + LONGEST + b" fsck", Digest(b"MD5", LONGEST, fsck=True)),
        (b"SHA-1 /dev1/f", Digest(b"SHA-1", b"/dev1/f")),
        (b"SHA-1 /dev1/f fsck", Digest(b"SHA-1", b"/dev1/f", fsck=True)),
        (b"SHA-224 /dev1/f", Digest(b"SHA-224", b"/dev1/f")),
        (b"SHA-256 /dev1/f fsck", Digest(b"SHA-256", b"/dev1/f", fsck=True)),
        (b"SHA-384 /dev1/f", Digest(b"SHA-384", b"/dev1/f")),
        (b"SHA-512 /dev1/f", Digest(b"SHA-512", b"/dev1/f")),
        (b"watch", Watch()),
        (b"watch\r", Watch()),
        (b"shutdown", Shutdown()),
        (b"shutdown graceful\r", Shutdown()),
    ],
)
def test_known_command(line: bytes, command: object) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    ("line", "count"),
    [
        (b"server aio_threads = 1", 1),
        (b"server aio_threads=100", 100),
        (b"server aio_threads= 7", 7),
        (b"server aio_threads =7", 7),
        (b"SERVER AIO_Threads = 20\r", 20),
        (b"server aio_threads = 007", 7),
    ],
)
def test_number_of_threads(line: bytes, count: int) -> None:
    assert parse_command(line) == SetThreads(count)


@pytest.mark.parametrize("number", [b"0", b"101", b"1000", b"9" * 400])
def test_number_of_threads_that_is_out_of_range(number: bytes) -> None:
    expected = Reply(b"ERROR: aio_threads must be 1 to 100")
    assert parse_command(b"server aio_threads = " + number) == expected


@pytest.mark.parametrize("line", [b"", b"\r", b" ", b"\t", b" \t ", b"  \r", b"\r\r"])
def test_blank_line_is_answered_with_one(line: bytes) -> None:
    assert parse_command(line) == Reply(b"")


@pytest.mark.parametrize("command", [b"size", *ALGORITHMS])
@pytest.mark.parametrize(
    "path",
    [
        b"/..",
        b"/a/../b",
        b"/a..b",
        b"/dev1/....",
        LONGEST + b"0",
        b"/" + b"a" * 37,
        b"/" * 38,
        b"/" + b"." * 400,
    ],
)
def test_path_that_is_too_long_or_climbs(command: bytes, path: bytes) -> None:
    assert parse_command(command + b" " + path) == INVALID


def test_climbing_path_is_refused_whatever_the_reason_is() -> None:
    assert parse_command(b"MD5 /../x fsck") == INVALID


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"hello", b"hello"),
        (b"  hello  ", b"hello"),
        (b"\thello world\r", b"hello"),
        (b"hello\rworld", b"hello"),
        (b"size", b"size"),
        (b"size ", b"size"),
        (b"size bad", b"size"),
        (b"size /foo bar", b"size"),
        (b"size  /foo", b"size"),
        (b"size /foo ", b"size"),
        (b" size /foo", b"size"),
        (b"size\t/foo", b"size"),
        (b"Size /foo", b"Size"),
        (b"size /a_b", b"size"),
        (b"size /foo\n", b"size"),
        (b"MD5", b"MD5"),
        (b"MD5 /a_b", b"MD5"),
        (b"MD5 /a_../..", b"MD5"),
        (b"MD5 dev1/f", b"MD5"),
        (b"MD5 /dev1/f fsck now", b"MD5"),
        (b"MD5 /dev1/f ", b"MD5"),
        (b"MD5 /dev1/f  fsck", b"MD5"),
        (b"MD5 /dev1/f fs-ck", b"MD5"),
        (b"md5 /x", b"md5"),
        (b"SHA1 /x", b"SHA1"),
        (b"SHA-2 /x", b"SHA-2"),
        (b"SHA-12 /x", b"SHA-12"),
        (b"sha-256 /x", b"sha-256"),
        (b"WATCH", b"WATCH"),
        (b"watch ", b"watch"),
        (b" watch", b"watch"),
        (b"version", b"version"),
        (b"shutdown now", b"shutdown"),
        (b"shutdown  graceful", b"shutdown"),
        (b"Shutdown", b"Shutdown"),
        (b"server max_connections = 5", b"server"),
        (b"server aio_threads", b"server"),
        (b"server aio_threads =", b"server"),
        (b"server aio_threads 5", b"server"),
        (b"server aio_threads  = 5", b"server"),
        (b"server aio_threads = 5 ", b"server"),
        (b"server aio_threads = -5", b"server"),
        (b"server  aio_threads = 5", b"server"),
        (b"GET / HTTP/1.0", b"GET"),
        (b"\x00\xff", b"\x00\xff"),
        (b"\x0bsize /foo", b"\x0bsize"),
    ],
)
def test_anything_else_is_answered_with_its_first_word(line: bytes, word: bytes) -> None:
    assert parse_command(line) == unknown(word)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_hash_name_is_one_that_python_has(algorithm: bytes) -> None:
    digest = hashlib.new(Digest(algorithm, b"/x").hash_name).hexdigest()
    bits = {b"MD5": 128, b"SHA-1": 160}.get(algorithm) or int(algorithm[4:])
    assert len(digest) * 4 == bits


paths = st.lists(st.sampled_from(list(PATH_ALPHABET)), max_size=60).map(lambda b: b"/" + bytes(b))


@given(paths, st.sampled_from(ALGORITHMS), st.booleans())
def test_every_path_of_the_alphabet_is_taken_or_invalid(
    path: bytes, algorithm: bytes, fsck: bool
) -> None:
    command = parse_command(algorithm + b" " + path + b" fsck" * fsck)
    valid = len(path) <= 37 and b".." not in path
    assert command == (Digest(algorithm, path, fsck=fsck) if valid else INVALID)


@given(st.binary(max_size=500).map(lambda line: line.replace(b"\n", b"")))
def test_garbage_is_refused_in_one_line(garbage: bytes) -> None:
    command = parse_command(b"?" + garbage)
    assert isinstance(command, Reply)
    assert not set(command.text) & set(b"\r\n")


@given(
    st.sampled_from([b"size /dev1/f", b"watch", b"shutdown", b"server aio_threads = 5"]),
    st.integers(min_value=0, max_value=20),
    st.sampled_from([b"\t", b"_", b"\x00", b"\xe4"]),
)
def test_one_byte_too_many_makes_a_command_unknown(known: bytes, at: int, byte: bytes) -> None:
    line = known[:at] + byte + known[at:]
    assert parse_command(line) == unknown(line.split()[0])
