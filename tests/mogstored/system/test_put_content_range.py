"""PUT with Content-Range: writing into a part of a file."""

from __future__ import annotations

import socket
import stat

import pytest

from tests.support.arrival import wait_until_taken
from tests.support.daemon import Node
from tests.support.http import Client, ask, compose
from tests.support.puts import (
    BAD_REQUEST,
    CHUNKED,
    FORBIDDEN,
    NO_STORAGE,
    NOT_FOUND,
    SERVER_ERROR,
    assert_created,
    assert_refused,
    chunks,
    put,
    put_chunked,
    put_head,
    traces,
    wait_until_begun,
    wait_until_untouched,
)

OVER = 2**63


def put_range(target: str, first: int, body: bytes, total: str = "*") -> bytes:
    last = first + len(body) - 1
    return put(target, body, f"Content-Range: bytes {first}-{last}/{total}")


def mode_of(node: Node, target: str) -> int:
    return stat.S_IMODE(node.path(target).stat().st_mode)


def test_range_beyond_the_end_leaves_zeros(node: Node, target: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put_range(target, 5, b"x")))
    assert node.path(target).read_bytes() == b"\0\0\0\0\0x"


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)], ids=["in-order", "mixed"])
def test_four_ranges_build_the_file(node: Node, target: str, order: tuple[int, ...]) -> None:
    body = bytes(range(256)) * 40
    quarter = len(body) // 4
    with Client(node.http) as client:
        for number in order:
            first = number * quarter
            part = body[first : first + quarter]
            assert_created(client.request(put_range(target, first, part)))
    assert node.path(target).read_bytes() == body


def test_large_file_of_a_client_that_begins_with_an_empty_upload(node: Node, target: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put_head(target)))
        assert_created(client.request(put_range(target, 0, b"first")))
        assert_created(client.request(put_range(target, 5, b"second")))
    assert node.path(target).read_bytes() == b"firstsecond"


def test_bytes_outside_the_range_stay(node: Node, target: str) -> None:
    node.write(target, b"0123456789")
    with Client(node.http) as client:
        assert_created(client.request(put_range(target, 3, b"abc")))
    assert node.path(target).read_bytes() == b"012abc6789"


def test_range_may_go_over_the_end(node: Node, target: str) -> None:
    node.write(target, b"0123456789")
    with Client(node.http) as client:
        assert_created(client.request(put_range(target, 8, b"abcd")))
    assert node.path(target).read_bytes() == b"01234567abcd"


def test_offset_over_four_gigabytes(node: Node, target: str) -> None:
    first = 5 * 2**30
    with Client(node.http) as client:
        assert_created(client.request(put_range(target, first, b"far")))
    with node.path(target).open("rb") as file:
        file.seek(first)
        assert file.read() == b"far"
    node.path(target).unlink()


def test_missing_directories_are_made(node: Node, target: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put_range(f"{target}/a/b", 0, b"x")))
    assert node.path(f"{target}/a/b").read_bytes() == b"x"


def test_missing_device(node: Node) -> None:
    assert_refused(node.http, put_range("/dev666/a/f", 0, b"x"), NOT_FOUND)
    assert not (node.docroot / "dev666").exists()


def test_directory_cannot_be_written_to(node: Node, target: str) -> None:
    node.path(target).mkdir()
    assert_refused(node.http, put_range(target, 0, b"x"), SERVER_ERROR)


@pytest.mark.parametrize("old_mode", [None, 0o600], ids=["new", "old"])
def test_mode_at_the_end_follows_the_umask(old_mode: int | None) -> None:
    with Node(wrapper=["sh", "-c", 'umask 027 && exec "$@"', "sh"]) as node:
        if old_mode is not None:
            node.write("/dev1/f", b"old").chmod(old_mode)
        with Client(node.http) as client:
            assert_created(client.request(put_range("/dev1/f", 0, b"x")))
        assert mode_of(node, "/dev1/f") == 0o640


def test_file_itself_is_written_while_the_body_comes(node: Node, target: str) -> None:
    with Client(node.http) as client:
        fields = ["Content-Range: bytes 2-9/*", "Content-Length: 8"]
        client.send(put_head(target, *fields) + b"half")
        wait_until_begun(node, target)
        wait_until_taken(client)
        assert traces(node, target) == [node.path(target).name]
        assert mode_of(node, target) == 0o600
        assert_created(client.request(b"done"))
    assert node.path(target).read_bytes() == b"\0\0halfdone"


@pytest.mark.parametrize("old", [None, b"0123456789"], ids=["new", "old"])
def test_aborted_upload_keeps_what_was_written(node: Node, target: str, old: bytes | None) -> None:
    if old is not None:
        node.write(target, old).chmod(0o640)
    with Client(node.http) as client:
        fields = ["Content-Range: bytes 2-9/*", "Content-Length: 8"]
        client.send(put_head(target, *fields) + b"half")
        client.sock.shutdown(socket.SHUT_WR)
        client.read_eof()
        _, port = client.sock.getsockname()
    node.wait_for_log(rf"PUT {target} failed from 127\.0\.0\.1:{port} after 6 bytes: ")
    if old is None:
        assert node.path(target).read_bytes() == b"\0\0half"
        assert mode_of(node, target) == 0o600
    else:
        assert node.path(target).read_bytes() == b"01half6789"
        assert mode_of(node, target) == 0o640


@pytest.mark.parametrize("total", ["*", "8", "9", "9223372036854775807", "0008"])
def test_total_that_fits(node: Node, target: str, total: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put_range(target, 3, b"hello", total)))
    assert node.path(target).read_bytes() == b"\0\0\0hello"


@pytest.mark.parametrize("total", ["0", "3", "6", "7"])
def test_total_that_is_too_small(node: Node, target: str, total: str) -> None:
    node.write(target, b"old content")
    assert_refused(node.http, put_range(target, 3, b"hello", total), BAD_REQUEST)
    assert node.path(target).read_bytes() == b"old content"


@pytest.mark.parametrize("blanks", [" ", "   ", "\t", " \t "])
def test_blanks_after_the_unit(node: Node, target: str, blanks: str) -> None:
    with Client(node.http) as client:
        field = f"Content-Range: bytes{blanks}0-4/*"
        assert_created(client.request(put(target, b"hello", field)))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes ",
        "bytes0-4/*",
        "bytes=0-4/*",
        "octets 0-4/*",
        "0-4/*",
        "bytes 0-4",
        "bytes 0-4/",
        "bytes 0-/*",
        "bytes -4/*",
        "bytes -/*",
        "bytes */5",
        "bytes */*",
        "bytes 0-4/**",
        "bytes 0-4/*5",
        "bytes 0-4/5x",
        "bytes 0-4/-5",
        "bytes 0 - 4/*",
        "bytes 0-4 /*",
        "bytes 0-4/* x",
        "bytes +0-4/*",
        "bytes 0x0-4/*",
        "bytes 0-4/*, 0-4/*",
        "bytes 0-4-5/*",
        "bytes 0-4\\*",
        "bytes 0--4/*",
    ],
)
def test_any_other_syntax(node: Node, target: str, value: str) -> None:
    node.write(target, b"old content")
    request = put(target, b"hello", f"Content-Range: {value}")
    assert_refused(node.http, request, BAD_REQUEST)
    assert node.path(target).read_bytes() == b"old content"


@pytest.mark.parametrize(
    ("span", "length"),
    [
        ("5-4", "Content-Length: 5"),
        ("5-4", "Content-Length: 0"),
        ("9-5", "Content-Length: 5"),
        ("0-4", "Content-Length: 4"),
        ("0-4", "Content-Length: 6"),
        ("0-4", "Content-Length: 0"),
        ("5-9", "Content-Length: 10"),
        ("0-0", "Content-Length: 0"),
        ("0-4", "X: no length"),
    ],
)
def test_range_that_disagrees_with_itself_or_the_length(
    node: Node, target: str, span: str, length: str
) -> None:
    request = put_head(target, f"Content-Range: bytes {span}/*", length) + b"hello"
    assert_refused(node.http, request, BAD_REQUEST)
    assert not node.path(target).exists()


def test_chunked_body(node: Node, target: str) -> None:
    request = put_chunked(target, chunks(b"hello", 5), "Content-Range: bytes 0-4/*")
    assert_refused(node.http, request, BAD_REQUEST)
    assert not node.path(target).exists()


@pytest.mark.parametrize(
    "value",
    [
        f"bytes {OVER}-{OVER}/*",
        f"bytes {OVER}-{OVER + 4}/*",
        f"bytes 0-{OVER}/*",
        f"bytes {OVER}-5/*",
        f"bytes 0-{2**64 + 4}/*",
        f"bytes {2**64}-{2**64 + 4}/*",
        f"bytes {'9' * 100}-{'9' * 101}/*",
        f"bytes 0-4/{OVER}",
        f"bytes 0-4/{2**64 + 5}",
    ],
)
@pytest.mark.parametrize("length", ["Content-Length: 5", CHUNKED], ids=["counted", "chunked"])
def test_number_over_the_largest(node: Node, target: str, value: str, length: str) -> None:
    request = put_head(target, f"Content-Range: {value}", length)
    assert_refused(node.http, request, NO_STORAGE)
    wait_until_untouched(node, target)


def test_file_that_would_be_longer_than_any(node: Node, target: str) -> None:
    assert_refused(node.http, put_range(target, OVER - 5, b"hello"), NO_STORAGE)
    wait_until_untouched(node, target)


def test_repeated_field_of_one_value(node: Node, target: str) -> None:
    field = "Content-Range: bytes 0-4/*"
    with Client(node.http) as client:
        assert_created(client.request(put(target, b"hello", field, field)))


def test_repeated_field_of_two_values(node: Node, target: str) -> None:
    fields = ["Content-Range: bytes 0-4/*", "Content-Range: bytes 1-5/*"]
    assert_refused(node.http, put(target, b"hello", *fields), BAD_REQUEST)
    assert not node.path(target).exists()


@pytest.mark.parametrize(
    ("path", "status"), [("/none", BAD_REQUEST), ("/dev1/a..b", FORBIDDEN)], ids=["/none", ".."]
)
def test_path_is_judged_first(node: Node, path: str, status: str) -> None:
    request = put(path, b"hello", f"Content-Range: bytes 0-{OVER}/*")
    assert_refused(node.http, request, status)


@pytest.mark.parametrize("value", ["bytes 5-4/*", f"bytes 0-{OVER}/*", "junk"])
def test_field_means_nothing_to_a_get(node: Node, target: str, value: str) -> None:
    node.write(target, b"0123456789")
    answer = ask(node.http, compose("GET", target, f"Content-Range: {value}"))
    assert (answer.status, answer.body) == (200, b"0123456789")
