"""Each `requests/*/NAME.http` is sent as it is; `NAME.answer` has the expected answer.

An answer file names the status line and the fields that matter. A new client or a new bug
adds a pair of files and no code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTS = Path(__file__).parent / "requests"
VALID = sorted(REQUESTS.glob("valid/*.http"))
INVALID = sorted(REQUESTS.glob("invalid/*.http"))

PROBE = b"GET / HTTP/1.0\r\n\r\n"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node() as node:
        node.write("/dev1/file", b"0123456789")
        node.write("/dev1/usage", b"total: 2\nused: 1\n")
        yield node


def _expected(request: Path) -> list[str]:
    return request.with_suffix(".answer").read_text(encoding="ascii").splitlines()


def _shown(raw_head: bytes, expected: list[str]) -> list[str]:
    """Return the status line and those fields that the expectation names."""
    status, *fields = raw_head.decode("ascii").rstrip().split("\r\n")
    names = {line.partition(":")[0] for line in expected[1:]}
    return [status, *(line for line in fields if line.partition(":")[0] in names)]


@pytest.mark.parametrize("request_file", VALID, ids=lambda path: path.stem)
def test_known_client(node: Node, request_file: Path) -> None:
    request, expected = request_file.read_bytes(), _expected(request_file)
    with Client(node.http) as client:
        answer = client.request(request, head=request.startswith(b"HEAD "))
        assert _shown(answer.raw_head, expected) == expected
        if answer.keeps:
            assert client.request(PROBE).status == 200
        client.read_eof()


@pytest.mark.parametrize("request_file", INVALID, ids=lambda path: path.stem)
def test_attack(node: Node, request_file: Path) -> None:
    """One refusal, then the end: the DELETE behind it never runs."""
    expected = _expected(request_file)
    with Client(node.http) as client:
        answer = client.request(request_file.read_bytes())
        assert _shown(answer.raw_head, expected) == expected
        client.read_eof()
    assert node.path("/dev1/file").exists()
    assert not node.path("/dev2/smuggled").exists()


def test_every_request_has_an_answer() -> None:
    """Also checks that the files were found, with their line ends."""
    assert VALID
    assert INVALID
    answers = {path.with_suffix(".http") for path in REQUESTS.glob("*/*.answer")}
    assert answers == {*VALID, *INVALID}
    assert all(b"\r\n" in path.read_bytes() for path in (*VALID, *INVALID))
