"""MD5, SHA-1 and the longer ones: the right digest, and the reply when there is none."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.injected import failing_call
from tests.support.sidechannel import Manager, manage
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 40_000
ALGORITHMS = {
    "MD5": "md5",
    "SHA-1": "sha1",
    "SHA-224": "sha224",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
}


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(mgmt=True) as node:
        node.write("/dev1/f", b"content")
        # Larger than a slice.
        node.write("/dev1/long", CONTENT)
        yield node


@pytest.mark.parametrize("reason", ["", " fsck", " repl_1"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("path", "content"), [("/dev1/f", b"content"), ("/dev1/long", CONTENT)])
def test_digest(client: Manager, algorithm: str, path: str, content: bytes, reason: str) -> None:
    expected = hashlib.new(ALGORITHMS[algorithm], content).hexdigest()
    reply = client.ask(f"{algorithm} {path}{reason}".encode())
    assert reply == f"{path} {algorithm}={expected}\r\n".encode()


@pytest.mark.parametrize("reason", ["", " fsck"])
def test_digest_of_an_empty_file(node: Node, client: Manager, reason: str) -> None:
    node.write("/dev1/empty", b"")
    reply = client.ask(f"MD5 /dev1/empty{reason}".encode())
    assert reply == b"/dev1/empty MD5=d41d8cd98f00b204e9800998ecf8427e\r\n"


@pytest.mark.parametrize("reason", ["", " fsck"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("path", ["/dev1/missing", "/dev9/f", "/dev1/f/f"])
def test_digest_of_what_is_not_there(
    client: Manager, algorithm: str, path: str, reason: str
) -> None:
    reply = client.ask(f"{algorithm} {path}{reason}".encode())
    assert reply == f"{path} {algorithm}=-1\r\n".encode()


@pytest.mark.parametrize("reason", ["", " fsck"])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-1"])
@pytest.mark.parametrize("path", ["/dev1", "/", "//dev1/"])
def test_digest_of_a_directory_fails_to_read(
    client: Manager, algorithm: str, path: str, reason: str
) -> None:
    reply = client.ask(f"{algorithm} {path}{reason}".encode())
    assert reply == f"ERR read {path} at 0 failed\r\n".encode()
    assert client.ask(b"size /dev1/f") == b"/dev1/f 7\r\n"


def test_fifo_fails_to_read_and_blocks_no_others(node: Node, client: Manager) -> None:
    os.mkfifo(node.path("/dev1/fifo"))
    assert client.ask(b"MD5 /dev1/fifo") == b"ERR read /dev1/fifo at 0 failed\r\n"


def test_path_is_echoed_as_it_was_written(client: Manager) -> None:
    digest = hashlib.md5(b"content").hexdigest().encode()
    assert client.ask(b"MD5 //dev1//f") == b"//dev1//f MD5=" + digest + b"\r\n"


def test_100_digests_in_one_write(client: Manager) -> None:
    client.send(b"MD5 /dev1/f\r\n" * 100)
    digest = hashlib.md5(b"content").hexdigest().encode()
    assert client.read_lines(100) == [b"/dev1/f MD5=" + digest + b"\r\n"] * 100


@pytest.mark.parametrize("number", [1, 2])
def test_usage_file_has_a_digest_from_the_start(client: Manager, number: int) -> None:
    path = f"/dev{number}/usage".encode()
    assert re.fullmatch(path + rb" MD5=[0-9a-f]{32}\r\n", client.ask(b"MD5 " + path))


def test_usage_record_stands_for_a_file_that_is_not_there() -> None:
    with Node(mgmt=True, env={"MOG_DISK_USAGE_INTERVAL": "1000"}) as node, manage(node) as client:
        text = node.path("/dev1/usage").read_bytes()
        node.path("/dev1/usage").unlink()
        digest = hashlib.sha1(text).hexdigest().encode()
        assert client.ask(b"SHA-1 /dev1/usage") == b"/dev1/usage SHA-1=" + digest + b"\r\n"
        assert client.ask(b"size /dev1/usage") == b"/dev1/usage %d\r\n" % len(text)
        assert client.ask(b"MD5 /dev9/usage") == b"/dev9/usage MD5=-1\r\n"
        assert client.ask(b"MD5 /dev1/usage/") == b"/dev1/usage/ MD5=-1\r\n"


def test_usage_record_stands_for_a_file_without_permissions() -> None:
    node = Node(mgmt=True, devices=("dev1",), env={"MOG_DISK_USAGE_INTERVAL": "1000"})
    node.write("/dev1/usage", b"").chmod(0)
    with node, manage(node) as client:
        assert client.ask(b"MD5 /dev1/usage") not in (
            b"/dev1/usage MD5=d41d8cd98f00b204e9800998ecf8427e\r\n",
            b"/dev1/usage MD5=-1\r\n",
        )
        assert client.ask(b"size /dev1/usage") not in (b"/dev1/usage 0\r\n", b"/dev1/usage -1\r\n")


def test_client_that_leaves_takes_its_digest_along(node: Node) -> None:
    path = node.write("/dev1/endless", b"")
    os.truncate(path, 2**40)

    def is_open() -> bool:
        return str(path) in [file.path for file in node.process.open_files()]

    with manage(node) as client:
        client.send(b"MD5 /dev1/endless\r\n")
        wait_until(is_open, "the file is open")
    wait_until(lambda: not is_open(), "the file is closed")


def test_device_that_is_not_mounted_is_not_read_where_it_has_to_be() -> None:
    node = Node(mgmt=True, extra=["--require-mount"])
    node.write("/dev1/f", b"content")
    with node, manage(node) as client:
        assert client.ask(b"MD5 /dev1/f") == b"/dev1/f MD5=-1\r\n"
        assert client.ask(b"SHA-1 /dev1/f fsck") == b"/dev1/f SHA-1=-1\r\n"
        assert client.ask(b"size /dev1/f") == b"/dev1/f -1\r\n"


def test_file_whose_status_cannot_be_had_has_no_digest_and_is_closed(tmp_path: Path) -> None:
    flag = tmp_path / "fail"
    with Node(mgmt=True, injected=failing_call("fstat", flag)) as node, manage(node) as client:
        path = str(node.write("/dev1/f", b"content"))
        for _ in range(12):
            # More than a device has slots: no slot may leak.
            flag.touch()
            assert client.ask(b"MD5 /dev1/f") == b"/dev1/f MD5=-1\r\n"
            assert not flag.exists()
        assert path not in [file.path for file in node.process.open_files()]
        assert client.ask(b"MD5 /dev1/f") == (b"/dev1/f MD5=9a0364b9e99bb480dd25e1f0284c8555\r\n")
