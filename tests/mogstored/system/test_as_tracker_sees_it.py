"""What trackers rely on, byte for byte as they send it, over the connections that they keep."""

from __future__ import annotations

import base64
import hashlib
import signal
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.slow_disk import node_with_slow_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.daemon import Address
    from tests.support.http import Response

# A tracker takes a host that does not answer within half a second for unreachable.
AT_ONCE_S = 0.5

WRONG_MD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="


@pytest.fixture(
    scope="module", params=[(), ("--worker-processes", "2")], ids=["single", "workers"]
)
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with Node(mgmt=True, httpget=True, extra=request.param) as node:
        yield node


class Pooled:
    """One connection of a tracker's pool: what it sends first, and what later."""

    def __init__(self, addr: Address | None) -> None:
        assert addr is not None
        self.client = Client(addr)
        self._host = f"{addr[0]}:{addr[1]}"
        self._is_first = True

    def __enter__(self) -> Pooled:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def ask(self, method: str, target: str, *fields: str, body: bytes = b"") -> Response:
        """Send as the pooled client of a tracker does, and expect to keep the connection."""
        version = "1.0" if method == "GET" else "1.1"
        lines = [f"{method} {target} HTTP/{version}"]
        if self._is_first:
            lines += ["Keep-Alive: 300", "Connection: Keep-Alive, keep-alive"]
        else:
            lines.append("Connection: keep-alive")
        lines += [f"Host: {self._host}", "User-Agent: MogileFS::Connection::HTTP/2.73"]
        if body:
            lines += ["Content-Type: application/octet-stream", f"Content-Length: {len(body)}"]
        lines += fields
        self._is_first = False
        head = "".join(f"{line}\r\n" for line in lines) + "\r\n"
        answer = self.client.request(head.encode() + body, head=method == "HEAD")
        assert answer.header("Connection") == "keep-alive"
        return answer


def line_of(sidechannel: socket.socket, command: bytes) -> bytes:
    """Send a command, and return the one line that comes back."""
    sidechannel.sendall(command)
    reply = b""
    while not reply.endswith(b"\n"):
        piece = sidechannel.recv(1024)
        assert piece, f"end of stream after {reply!r}"
        reply += piece
    return reply


def sidechannel_of(node: Node) -> socket.socket:
    assert node.mgmt is not None
    return socket.create_connection(node.mgmt, timeout=10.0)


def test_01_usage(node: Node) -> None:
    with Pooled(node.httpget) as tracker:
        for _ in range(2):
            answer = tracker.ask("GET", "/dev1/usage")
            assert answer.status == 200
            fields = dict(line.split(": ", 1) for line in answer.body.decode().splitlines())
            assert int(fields["total"]) >= int(fields["used"]) > 0
            assert time.time() - int(fields["time"]) < 60


def test_02_mkcol_is_refused_once_and_for_all(node: Node) -> None:
    with Pooled(node.http) as tracker:
        for target in ("/dev1/test-write/", "/dev1/0/", "/dev1/0/000/", "/dev1/0/000/148/"):
            assert tracker.ask("MKCOL", target, "Content-Length: 0").status == 400
            assert not node.path(target).exists()
        assert tracker.ask("GET", "/dev1/usage").status == 200


def test_03_write_test(node: Node) -> None:
    target, body = "/dev2/test-write/test-write-42", b"time=1795466436 rand=42"
    with Pooled(node.http) as writer, Pooled(node.httpget) as reader:
        assert writer.ask("PUT", target, body=body).status == 201
        assert reader.ask("GET", target).body == body
        assert writer.ask("GET", target).body == body


def test_04_wrong_checksum_is_noticed_and_forgiven(node: Node) -> None:
    target = "/dev1/test-write/test-md5"
    with Pooled(node.http) as tracker:
        wrong = tracker.ask("PUT", target, f"Content-MD5: {WRONG_MD5}", body=b".")
        assert wrong.status == 400
        assert not node.path(target).exists()
        assert tracker.ask("PUT", target, body=b".").status == 201
        assert node.path(target).read_bytes() == b"."


@pytest.mark.parametrize("checked", [False, True], ids=["bare", "checked"])
def test_05_replication_target(node: Node, checked: bool) -> None:
    target, body = f"/dev1/0/000/148/{148056 + checked:010}.fid", b"some content"
    md5 = f"Content-MD5: {_base64_md5(body)}\r\n" if checked else ""
    head = (
        f"PUT {target} HTTP/1.0\r\nConnection: keep-alive\r\n"
        f"Content-length: {len(body)}\r\n{md5}\r\n"
    )
    with Client(node.http) as client:
        for _ in range(2):
            answer = client.request(head.encode() + body)
            assert answer.status == 201
            assert answer.header("Connection") == "keep-alive"
        source = client.request(
            f"GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode()
        )
        assert (source.header("Connection"), source.body) == ("keep-alive", body)


def test_06_size_of_a_file(node: Node, target: str) -> None:
    node.write(f"{target}.full", b"x" * 123)
    node.write(f"{target}.empty", b"")
    with Pooled(node.httpget) as tracker:
        full = tracker.ask("HEAD", f"{target}.full")
        assert (full.status, full.header("Content-Length")) == (200, "123")
        empty = tracker.ask("HEAD", f"{target}.empty")
        assert (empty.status, empty.header("Content-Length")) == (200, "0")
        assert tracker.ask("HEAD", f"{target}.missing").status == 404
        # What is there and cannot be read is not missing: a directory stands for it, which
        # root cannot read either.
        assert tracker.ask("HEAD", "/dev1").status == 403


def test_07_delete(node: Node, target: str) -> None:
    node.write(target, b"x")
    with Pooled(node.http) as tracker:
        assert tracker.ask("DELETE", target).status == 204
        assert tracker.ask("DELETE", target).status == 404


def test_08_parked_connections(node: Node) -> None:
    """A thousand for some seconds; the hour that trackers park them for is out of reach."""
    with ExitStack() as stack:
        parked = [stack.enter_context(Pooled(node.http)) for _ in range(1000)]
        for each in parked:
            assert each.ask("GET", "/dev1/usage").status == 200
        parked[0].client.expect_silence(2.0)
        for each in parked:
            each.client.expect_silence(0.001)
            assert each.ask("GET", "/dev1/usage").status == 200


def test_09_checksums(node: Node, target: str) -> None:
    path, body = node.write(target, b"content"), b"content"
    md5, sha1 = hashlib.md5(body).hexdigest(), hashlib.sha1(body).hexdigest()
    with sidechannel_of(node) as sidechannel:
        for reason in ("", " fsck"):
            reply = line_of(sidechannel, f"MD5 {target}{reason}\r\n".encode())
            assert reply == f"{target} MD5={md5}\r\n".encode()
            reply = line_of(sidechannel, f"SHA-1 {target}{reason}\r\n".encode())
            assert reply == f"{target} SHA-1={sha1}\r\n".encode()
        path.unlink()
        reply = line_of(sidechannel, f"MD5 {target} fsck\r\n".encode())
        assert reply == f"{target} MD5=-1\r\n".encode()


def test_10_watch(node: Node) -> None:
    with sidechannel_of(node) as sidechannel:
        block = line_of(sidechannel, b"watch\n")
        while not block.endswith(b"\n.\n"):
            block += sidechannel.recv(1024)
    assert b"\r" not in block
    listed = [line.split(b"\t") for line in block.splitlines()[:-1]]
    assert [devid for devid, _ in listed] == [b"1", b"2"]


def test_10_watch_without_iostat() -> None:
    """The stream stays open: a tracker whose stream ends comes back at once, for ever."""
    with (
        Node(mgmt=True, env={"MOG_IOSTAT_CMD": "/no/such/iostat"}) as node,
        sidechannel_of(node) as sidechannel,
    ):
        sidechannel.sendall(b"watch\n")
        node.wait_for_log("iostat|/no/such/iostat")
        sidechannel.settimeout(1.0)
        try:
            said = sidechannel.recv(1024)
        except TimeoutError:
            said = b"."
        assert said
        assert not said.startswith(b"ERR")


def test_11_device_that_hangs(tmp_path: Path) -> None:
    with (
        node_with_slow_disk(tmp_path / "disk", mgmt=True) as (node, disk),
        Pooled(node.http) as tracker,
        ExitStack() as stack,
    ):
        assert tracker.ask("PUT", "/dev2/file", body=b"x").status == 201
        disk.hang()
        hanging = [stack.enter_context(Pooled(node.http)) for _ in range(30)]
        for each in hanging:
            each.client.send(b"GET /dev2/file HTTP/1.1\r\n\r\n")
        disk.wait_until_held(5)
        for method, target, body, status in (
            ("GET", "/dev1/usage", b"", 200),
            ("GET", "/dev2/usage", b"", 200),
            ("PUT", "/dev1/file", b"y", 201),
            ("HEAD", "/dev1/file", b"", 200),
            ("GET", "/dev1/file", b"", 200),
            ("DELETE", "/dev1/file", b"", 204),
        ):
            began = time.monotonic()
            assert tracker.ask(method, target, body=body).status == status
            assert time.monotonic() - began < AT_ONCE_S, f"{method} {target}"
        disk.release()
        for each in hanging:
            assert each.client.read_response().body == b"x"


def test_12_restart_while_connections_are_parked() -> None:
    with Node() as first, ExitStack() as stack:
        host, port = first.http
        parked = [stack.enter_context(Pooled(first.http)) for _ in range(20)]
        for each in parked:
            assert each.ask("GET", "/").status == 200
        assert first.stop(signal.SIGQUIT) == 0
        for each in parked:
            each.client.read_eof()
        with (
            Node(http=False, extra=["--httplisten", f"{host}:{port}"]) as second,
            Pooled((host, port)) as again,
        ):
            assert second.is_running()
            assert again.ask("GET", "/").status == 200


def _base64_md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()
