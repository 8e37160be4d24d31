"""A disk fails with the errors of a network: they are not taken for the client's."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client, compose
from tests.support.puts import put, traces
from tests.support.sidechannel import manage
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.bad_disk.control import SlowDisk
    from tests.support.daemon import Node

CONTENT = b"content"
# Sent by sendfile.
LARGE = 300_000
DIGEST = b"/dev2/file MD5=9a0364b9e99bb480dd25e1f0284c8555\r\n"
# Errors of NFS, FUSE and iSCSI that a socket may report as well.
NETWORK_ERRORS = [
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ECONNRESET,
    errno.EPIPE,
    errno.EAGAIN,
]
BY_NAME = pytest.mark.parametrize("error", NETWORK_ERRORS, ids=errno.errorcode.get)


@pytest.fixture
def rig(shared: tuple[Node, SlowDisk]) -> Iterator[tuple[Node, SlowDisk]]:
    yield shared
    shared[1].release()


def logged(node: Node, error: int) -> None:
    node.wait_for_log(rf"/dev2/.* failed: {re.escape(os.strerror(error))}")


@BY_NAME
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_open_fails(rig: tuple[Node, SlowDisk], method: str, error: int) -> None:
    node, disk = rig
    node.write("/dev2/file", CONTENT)
    disk.fail(error, "open")
    with Client(node.http) as client:
        answer = client.request(compose(method, "/dev2/file"), head=method == "HEAD")
        assert (answer.status, answer.keeps) == (500, True)
    logged(node, error)


@BY_NAME
def test_small_read_fails(rig: tuple[Node, SlowDisk], error: int) -> None:
    node, disk = rig
    node.write("/dev2/file", CONTENT)
    disk.fail(error, "read")
    with Client(node.http) as client, manage(node) as sidechannel:
        assert client.request(compose("GET", "/dev2/file")).status == 500
        assert sidechannel.ask(b"MD5 /dev2/file") == b"ERR read /dev2/file at 0 failed\r\n"
        disk.release()
        assert client.request(compose("GET", "/dev2/file")).body == CONTENT
    logged(node, error)


@BY_NAME
def test_large_read_fails(rig: tuple[Node, SlowDisk], error: int) -> None:
    """The head has been sent: the connection ends, and the log has the reason."""
    node, disk = rig
    node.write("/dev2/large", bytes(LARGE))
    disk.fail(error, "read")
    with Client(node.http) as client:
        client.send(compose("GET", "/dev2/large"))
        client.read_head()
        client.read_eof()
    logged(node, error)


@BY_NAME
@pytest.mark.parametrize("size", [7, LARGE])
def test_write_fails(rig: tuple[Node, SlowDisk], size: int, error: int) -> None:
    """The client gets an answer: the log does not say that it left."""
    node, disk = rig
    disk.fail(error, "write")
    before = len(node.stderr_lines())
    with Client(node.http) as client:
        answer = client.request(put("/dev2/new", bytes(size)))
        assert (answer.status, answer.keeps) == (500, False)
    disk.release()
    wait_until(lambda: traces(node, "/dev2/new") == [], "no temporary file is left")
    assert not any("failed from" in line for line in node.stderr_lines()[before:])


@pytest.mark.parametrize("error", [errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN])
def test_close_fails(rig: tuple[Node, SlowDisk], error: int) -> None:
    """Only a PUT is answered differently: it may have lost data."""
    node, disk = rig
    node.write("/dev2/file", CONTENT)
    node.write("/dev2/large", bytes(LARGE))
    node.path("/dev2/directory").mkdir(exist_ok=True)
    disk.fail(error, "flush")
    with Client(node.http) as client, manage(node) as sidechannel:
        assert client.request(compose("HEAD", "/dev2/file"), head=True).status == 200
        assert client.request(compose("GET", "/dev2/file")).body == CONTENT
        assert client.request(compose("GET", "/dev2/large")).body == bytes(LARGE)
        assert client.request(compose("GET", "/dev2/directory")).status == 403
        assert sidechannel.ask(b"MD5 /dev2/file") == DIGEST
        assert sidechannel.ask(b"size /dev2/file") == b"/dev2/file 7\r\n"
        assert client.request(put("/dev2/new", CONTENT)).status == 500
    disk.release()
    wait_until(lambda: traces(node, "/dev2/new") == [], "no temporary file is left")
