"""What trackers rely on, with their requests byte for byte, on connections that they keep.

The two last points have files of their own for the rest: `test_device_that_hangs` and
`test_restart_under_trackers`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support import fake_iostat
from tests.support.daemon import Node
from tests.support.disks import disks
from tests.support.forms import FORMS
from tests.support.http import Client
from tests.support.privileges import can_be_unprivileged, unprivileged
from tests.support.sidechannel import manage
from tests.support.slow_disk import node_with_slow_disk
from tests.support.sockets import room_for
from tests.support.tracker import AT_ONCE_S, Pooled, Tracker
from tests.support.waiting import promptly

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.http import Response

# The node's pause after a failed iostat.
IOSTAT_RETRY_S = 10.0
PARKED = 1000

# The digest of an empty text, which trackers send with a body of one dot.
WRONG_MD5 = "Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg=="


@pytest.fixture(
    scope="module", params=[(), ("--worker-processes", "2")], ids=["single", "workers"]
)
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """A node without root's privilege to read any file, where setpriv can take it away."""
    wrapper = unprivileged() if can_be_unprivileged() else ()
    with Node(mgmt=True, httpget=True, extra=request.param, wrapper=wrapper) as node:
        yield node


def kept(answer: Response, status: int) -> Response:
    """Expect this status on a connection that is kept."""
    assert (answer.status, answer.keeps) == (status, True)
    return answer


def base64_md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


@pytest.mark.parametrize("port", ["http", "httpget"])
def test_01_usage(node: Node, port: str) -> None:
    with Pooled(getattr(node, port)) as tracker:
        for _ in range(2):
            usage = kept(tracker.ask("GET", "/dev1/usage"), 200)
            # As a tracker parses it.
            fields = dict(re.findall(r"^(\w+):\s*(\S+)$", usage.body.decode(), re.MULTILINE))
            assert int(fields["total"]) >= int(fields["used"]) > 0
            assert abs(time.time() - int(fields["time"])) < 60


def test_02_mkcol_is_refused_once_and_for_all(node: Node) -> None:
    with Pooled(node.http) as tracker:
        for target in ("/dev1/test-write/", "/dev1/7/", "/dev1/7/000/", "/dev1/7/000/148/"):
            kept(tracker.ask("MKCOL", target), 400)
            assert not node.path(target).exists()
        kept(tracker.ask("GET", "/dev1/usage"), 200)
    with Pooled(node.http) as tracker:
        kept(tracker.ask("GET", "/dev1/usage"), 200)
        kept(tracker.ask("MKCOL", "/dev1/test-write/"), 400)


def test_03_write_test(node: Node) -> None:
    """The directory is not there at first; the answer counts for all ports and processes."""
    target, body = "/dev2/test-write/test-write-42", b"time=1795466436 rand=42"
    for number in range(20):
        with Pooled(node.http) as writer, Pooled(node.httpget) as reader:
            fresh = body + b"%d" % number
            kept(writer.ask("PUT", target, body=fresh), 201)
            assert kept(reader.ask("GET", target), 200).body == fresh
            assert kept(writer.ask("GET", target), 200).body == fresh


def test_03_whole_directories_are_made(node: Node) -> None:
    target = "/dev2/9/148/056/9148056000.fid"
    with Pooled(node.http) as writer, Pooled(node.httpget) as reader:
        kept(writer.ask("PUT", target, body=b"content"), 201)
        assert kept(reader.ask("GET", target), 200).body == b"content"


def test_04_wrong_checksum_is_noticed_and_forgiven(node: Node) -> None:
    target = "/dev1/test-write/test-md5"
    with Pooled(node.http) as tracker:
        for _ in range(2):
            kept(tracker.ask("PUT", target, WRONG_MD5, body=b"."), 400)
            assert not node.path(target).exists()
        right = f"Content-MD5: {base64_md5(b'.')}"
        kept(tracker.ask("PUT", target, right, body=b"."), 201)
        assert node.path(target).read_bytes() == b"."
        kept(tracker.ask("PUT", target, WRONG_MD5, body=b"."), 400)
        assert node.path(target).read_bytes() == b"."


@pytest.mark.parametrize("size", [0, 12, 3_000_000])
@pytest.mark.parametrize("checked", [False, True], ids=["bare", "checked"])
def test_05_replication(node: Node, target: str, checked: bool, size: int) -> None:
    """Twice on each connection, which a pool of the replicating process keeps."""
    body = os.urandom(size)
    node.write(target, body)
    copy = target.replace("dev1", "dev2")
    md5 = f"Content-MD5: {base64_md5(body)}\r\n" if checked else ""
    keep = "Connection: keep-alive\r\n"
    put = f"PUT {copy} HTTP/1.0\r\n{keep}Content-length: {size}\r\n{md5}\r\n"
    get = f"GET {target} HTTP/1.0\r\n{keep}\r\n"
    with Client(node.http) as source, Client(node.http) as sink:
        for _ in range(2):
            read = kept(source.request(get.encode()), 200)
            assert read.header("Content-Length") == str(size)
            assert b"\r\nConnection: keep-alive\r\n" in read.raw_head
            sink.send(put.encode())
            for begin in range(0, size, 1 << 20):
                sink.send(read.body[begin : begin + (1 << 20)])
            stored = kept(sink.read_response(), 201)
            assert b"\r\nConnection: keep-alive\r\n" in stored.raw_head
            assert node.path(copy).read_bytes() == body
            node.path(copy).unlink()
        sink.expect_silence(0.01)


def test_06_size_of_a_file(node: Node, target: str) -> None:
    node.write(f"{target}.full", b"x" * 123)
    node.write(f"{target}.empty", b"")
    with Pooled(node.httpget) as reader, Pooled(node.http) as main:
        for tracker in (reader, main):
            for name, size in (("full", "123"), ("empty", "0")):
                head = kept(tracker.ask("HEAD", f"{target}.{name}"), 200)
                assert head.header("Content-Length") == size
            kept(tracker.ask("HEAD", f"{target}.missing"), 404)
            # What is there and cannot be read must not look missing.
            kept(tracker.ask("HEAD", "/dev1"), 403)
            kept(tracker.ask("HEAD", f"{target}.full"), 200)


def test_06_unreadable_file(node: Node, target: str) -> None:
    unprivileged()
    node.write(target, b"secret").chmod(0)
    with Pooled(node.httpget) as tracker:
        kept(tracker.ask("HEAD", target), 403)
        kept(tracker.ask("GET", target), 403)


def test_06_size_right_after_an_upload(node: Node, target: str) -> None:
    """create_close asks on another connection, perhaps of another process."""
    with ExitStack() as stack:
        trackers = [stack.enter_context(Pooled(node.http)) for _ in range(8)]
        for size in range(1, 40):
            with Pooled(node.http) as client:
                kept(client.ask("PUT", target, body=b"x" * size), 201)
            for tracker in trackers:
                head = kept(tracker.ask("HEAD", target), 200)
                assert head.header("Content-Length") == str(size)


def test_07_delete(node: Node, target: str) -> None:
    node.write(target, b"x")
    with Pooled(node.http) as tracker, Pooled(node.httpget) as other:
        kept(other.ask("GET", target), 200)
        kept(tracker.ask("DELETE", target), 204)
        kept(other.ask("HEAD", target), 404)
        kept(tracker.ask("DELETE", target), 404)
        kept(tracker.ask("DELETE", f"{target}/never/there"), 404)


@pytest.mark.slow
def test_08_parked_connections(node: Node) -> None:
    """For some seconds; trackers park connections for an hour."""
    with room_for(PARKED + 1), ExitStack() as stack:
        parked = [stack.enter_context(Pooled(node.http)) for _ in range(PARKED)]
        sidechannel = stack.enter_context(manage(node))
        assert sidechannel.ask(b"size /dev1/none") == b"/dev1/none -1\r\n"
        for each in parked:
            kept(each.ask("GET", "/dev1/usage"), 200)
        parked[0].expect_silence(5.0)
        for each in parked:
            # Checks that neither a byte nor the end has arrived.
            kept(each.ask("HEAD", "/dev1/usage"), 200)
        assert sidechannel.ask(b"size /dev1/none") == b"/dev1/none -1\r\n"


def test_09_digests(node: Node, target: str) -> None:
    content = os.urandom(1_500_000)
    path = node.write(target, content)
    md5, sha1 = hashlib.md5(content).hexdigest(), hashlib.sha1(content).hexdigest()
    with manage(node) as sidechannel:
        for reason in ("", " fsck"):
            reply = sidechannel.ask(f"MD5 {target}{reason}".encode())
            assert reply == f"{target} MD5={md5}\r\n".encode()
            reply = sidechannel.ask(f"SHA-1 {target}{reason}".encode())
            assert reply == f"{target} SHA-1={sha1}\r\n".encode()
        path.unlink()
        reply = sidechannel.ask(f"MD5 {target} fsck".encode())
        assert reply == f"{target} MD5=-1\r\n".encode()
        path.write_bytes(b"")
        reply = sidechannel.ask(f"MD5 {target} fsck".encode())
        assert reply == f"{target} MD5=d41d8cd98f00b204e9800998ecf8427e\r\n".encode()


@FORMS
@pytest.mark.parametrize("command", [None, "fake"], ids=["own", "iostat"])
def test_10_watch(extra: Sequence[str], command: str | None) -> None:
    """The end of a block is LF, dot, LF; a CR anywhere would hide it."""
    names = disks()
    env = {}
    if command:
        options = "--piece 5 --interval 0.05"
        env["MOG_IOSTAT_CMD"] = fake_iostat.command(*(names or ["sda"]), options=options)
    value = rb"\d+\.\d\d|-" if not (command and names) else rb"\d+\.\d\d"
    pattern = rb"1\t(%b)\n2\t(%b)\n\.\n" % (value, value)
    with Node(mgmt=True, env=env, extra=extra) as node, manage(node) as watcher:
        watcher.send(b"watch\n")
        for _ in range(2):
            block = b"".join(watcher.read_lines(3))
            assert re.fullmatch(pattern, block), block


@pytest.mark.slow
@FORMS
def test_10_watch_without_iostat(extra: Sequence[str]) -> None:
    """No ERR: a tracker reconnects at once when its stream ends, for ever."""
    env = {"MOG_IOSTAT_CMD": "/no/such/iostat"}
    with (
        Node(mgmt=True, env=env, extra=extra) as node,
        manage(node, IOSTAT_RETRY_S + 10.0) as watcher,
    ):
        watcher.send(b"watch\n")
        node.wait_for_log(r"iostat \(PID \d+\) exited with status 127$")
        assert watcher.read_lines(3) == [b"1\t-\n", b"2\t-\n", b".\n"]
        watcher.expect_silence()


@FORMS
def test_11_device_that_hangs(tmp_path: Path, extra: Sequence[str]) -> None:
    with (
        node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=extra) as (node, disk),
        Pooled(node.http) as tracker,
        ExitStack() as stack,
    ):
        kept(tracker.ask("PUT", "/dev2/file", body=b"x"), 201)
        disk.hang()
        # More than the node has threads.
        hanging = [stack.enter_context(Client(node.http)) for _ in range(60)]
        for number, client in enumerate(hanging):
            method = ("GET", "HEAD")[number % 2]
            client.send(f"{method} /dev2/file HTTP/1.0\r\n\r\n".encode())
        disk.wait_until_held(10)

        def ask(method: str, target: str, status: int = 200, body: bytes | None = None) -> None:
            kept(tracker.ask(method, target, body=body), status)

        def write() -> None:
            ask("PUT", "/dev1/test-write/file", 201, b"y")

        def write_and_delete() -> None:
            write()
            ask("DELETE", "/dev1/test-write/file", 204)

        for target in ("/dev1/usage", "/dev2/usage"):
            promptly(partial(ask, "GET", target), AT_ONCE_S)
        promptly(write, AT_ONCE_S)
        for method in ("HEAD", "GET"):
            promptly(partial(ask, method, "/dev1/test-write/file"), AT_ONCE_S)
        promptly(write_and_delete, AT_ONCE_S)
        disk.release()
        for number, client in enumerate(hanging):
            assert client.read_response(head=number % 2 == 1).status == 200


@FORMS
def test_12_restart_while_connections_are_parked(extra: Sequence[str]) -> None:
    with ExitStack() as stack:
        with Node(extra=extra) as first:
            host, port = first.http
            trackers = [stack.enter_context(Tracker(first.http)) for _ in range(20)]
            for tracker in trackers:
                kept(tracker.ask("GET", "/"), 200)
            assert first.stop(signal.SIGTERM) == 0
        listen = ["--httplisten", f"{host}:{port}"]
        with Node(http=False, extra=[*extra, *listen]):
            # Each tries its old connection first, which has ended cleanly.
            for tracker in trackers:
                kept(tracker.ask("PUT", "/dev1/file", body=b"x"), 201)
