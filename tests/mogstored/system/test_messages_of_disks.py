"""What the log says of a disk that fails, in each way that disks do."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.daemon import Node
from tests.support.disks import node_with_small_disk, small_disk
from tests.support.forms import FORMS, WORKERS
from tests.support.http import Client, compose
from tests.support.json_log import JSON, lines_of, wait_for_line
from tests.support.processes import clients_of_all, workers_of
from tests.support.puts import put
from tests.support.sidechannel import manage
from tests.support.slow_disk import node_with_slow_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.bad_disk.control import SlowDisk

# Errors, and what a GET, PUT and DELETE are answered with.
ANSWERS = {
    errno.EROFS: (500, 403, 403),
    errno.EACCES: (403, 403, 403),
    errno.EIO: (500, 500, 500),
    errno.ELOOP: (403, 500, 500),
    errno.ENOSPC: (500, 507, 500),
    errno.EDQUOT: (500, 507, 500),
    errno.ESTALE: (500, 500, 500),
    errno.ENODEV: (500, 500, 500),
}
READ_ONLY = "dev2 is read-only: PUT and DELETE are answered with 403$"


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, SlowDisk]]:
    path = tmp_path_factory.mktemp("failing") / "disk"
    # Once an hour: what looks find does not matter here.
    extra = [JSON, "--usage-interval=3600"]
    with node_with_slow_disk(path, mgmt=True, extra=extra) as (node, disk):
        yield node, disk


@pytest.fixture
def rig(failing: tuple[Node, SlowDisk]) -> Iterator[tuple[Node, SlowDisk]]:
    yield failing
    failing[1].release()


@pytest.mark.parametrize("number", ANSWERS, ids=errno.errorcode.get)
def test_each_error_of_each_operation(rig: tuple[Node, SlowDisk], number: int) -> None:
    node, disk = rig
    name, reason = errno.errorcode[number], os.strerror(number)
    requests: list[tuple[str, bytes, int]] = [
        ("GET", compose("GET", f"/dev2/{name}"), ANSWERS[number][0]),
        ("PUT", put(f"/dev2/{name}", b"x"), ANSWERS[number][1]),
        ("DELETE", compose("DELETE", f"/dev2/{name}"), ANSWERS[number][2]),
    ]
    node.write(f"/dev2/{name}", b"content")
    disk.fail(number, "open", "create", "unlink")
    with Client(node.http) as client:
        host, port = client.sock.getsockname()
        for _, request, status in requests[:1] + requests[2:]:
            assert client.request(request).status == status
        assert client.request(requests[1][1]).status == requests[1][2]
    disk.release()
    line = wait_for_line(node, device="dev2", errno=name, operation="read")
    assert line["message"] == f"GET /dev2/{name} from {host}:{port} failed: {reason} ({name})"
    assert line["level"] == "error"
    assert (line["path"], line["client"]) == (f"/dev2/{name}", f"{host}:{port}")
    # The others are counted.
    more = wait_for_line(node, device="dev2", errno=name, message="2 more")
    assert more["message"].endswith(
        f"/dev2: 2 more such errors since the last line: {reason} ({name})"
    )


@pytest.mark.parametrize(
    ("operation", "words", "failing_calls"),
    [
        ("write", "PUT", ["create"]),
        ("delete", "DELETE", ["unlink"]),
        ("read", "size", ["lookup", "getattr"]),
        ("digest", "MD5", ["open"]),
    ],
)
def test_operation_is_named(
    tmp_path: Path, operation: str, words: str, failing_calls: list[str]
) -> None:
    extra = [JSON, "--usage-interval=3600"]
    with node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=extra) as (node, disk):
        node.write("/dev2/file", b"content")
        disk.fail(errno.EIO, *failing_calls)
        if words in ("size", "MD5"):
            with manage(node) as sidechannel:
                sidechannel.ask(f"{words} /dev2/file".encode())
        else:
            request = put("/dev2/file", b"x") if words == "PUT" else compose(words, "/dev2/file")
            with Client(node.http) as client:
                assert client.request(request).status == 500
        line = wait_for_line(node, operation=operation, errno="EIO")
        assert line["message"].startswith(f"{words} /dev2/file from 127.0.0.1:")
        disk.release()


def test_file_that_is_not_there_is_no_news(rig: tuple[Node, SlowDisk]) -> None:
    node, _ = rig
    before = len(node.stderr_lines())
    with Client(node.http) as client, manage(node) as sidechannel:
        for method in ("GET", "HEAD", "DELETE"):
            answer = client.request(compose(method, "/dev2/none"), head=method == "HEAD")
            assert answer.status == 404
        assert sidechannel.ask(b"size /dev2/none") == b"/dev2/none -1\r\n"
        assert sidechannel.ask(b"MD5 /dev2/none") == b"/dev2/none MD5=-1\r\n"
    assert [line for line in lines_of(node)[before:] if "/none" in line["message"]] == []


def test_disk_that_is_full(tmp_path: Path) -> None:
    with node_with_small_disk(tmp_path / "disk", "size=64k", extra=[JSON]) as node:
        with Client(node.http) as client:
            assert client.request(put("/dev2/file", bytes(1 << 20))).status == 507
        line = wait_for_line(node, device="dev2", errno="ENOSPC", operation="write")
        assert line["path"] == "/dev2/file"


@FORMS
def test_disk_that_becomes_read_only_and_writable_again(tmp_path: Path, extra: list[str]) -> None:
    """Each change is one line, whatever the number of processes that meet it."""
    options = [JSON, "--usage-interval=1", *extra]
    with node_with_small_disk(tmp_path / "disk", "size=1m", mgmt=True, extra=options) as node:
        remount(tmp_path / "disk", "ro")
        line = wait_for_line(node, device="dev2", state="read-only", message=READ_ONLY)
        assert line["level"] == "warning"
        assert status_by_each_process(node, put("/dev2/file", b"x")) == {403}
        wait_for_line(node, device="dev2", errno="EROFS", operation="write", path="/dev2/file")
        remount(tmp_path / "disk", "rw")
        again = wait_for_line(node, device="dev2", state="ok", message="is writable again$")
        assert again["level"] == "info"
        assert again["path"] == f"{node.docroot}/dev2"
        assert count(node, READ_ONLY) == 1


def test_disk_that_refuses_changes_without_a_sign(tmp_path: Path) -> None:
    """As file systems do that have found themselves damaged."""
    extra = [JSON, "--usage-interval=3600"]
    with node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=extra) as (node, disk):
        disk.fail(errno.EROFS, "create", "unlink")
        for number in range(3):
            with Client(node.http) as client:
                assert client.request(put(f"/dev2/{number}", b"x")).status == 403
        wait_for_line(node, state="read-only", message=READ_ONLY)
        disk.release()
        with Client(node.http) as client:
            assert client.request(put("/dev2/file", b"x")).status == 201
        wait_for_line(node, state="ok", message="is writable again$")
        assert count(node, READ_ONLY) == 1


def remount(path: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(path)], check=True)


def count(node: Node, pattern: str) -> int:
    return sum(bool(re.search(pattern, line["message"])) for line in lines_of(node))


def status_by_each_process(node: Node, request: bytes) -> set[int]:
    """Send a request to each process that serves; return what they answer."""
    if not workers_of(node):
        with Client(node.http) as client:
            return {client.request(request).status}
    with clients_of_all(node) as clients:
        return {client.request(request).status for client in clients.values()}


def test_disk_that_is_unmounted_and_mounted(tmp_path: Path) -> None:
    with ExitStack() as stack:
        disk = small_disk(tmp_path / "disk", "size=1m")
        disk.__enter__()
        node = Node(
            devices=("dev1",), mgmt=True, extra=[JSON, "--require-mount", "--usage-interval=1"]
        )
        (node.docroot / "dev2").mkdir()
        bind = ["mount", "--bind", str(tmp_path / "disk"), str(node.docroot / "dev2")]
        subprocess.run(bind, check=True)
        stack.callback(disk.__exit__, None, None, None)
        stack.callback(subprocess.run, ["umount", str(node.docroot / "dev2")], check=False)
        stack.enter_context(node)
        # From the start, dev1 is none.
        wait_for_line(node, device="dev1", state="unmounted", message="is not mounted")
        subprocess.run(["umount", str(node.docroot / "dev2")], check=True)
        line = wait_for_line(node, device="dev2", state="unmounted", message="is not mounted")
        assert line["level"] == "warning"
        with Client(node.http) as client:
            assert client.request(compose("GET", "/dev2/file")).status == 500
            assert client.request(compose("DELETE", "/dev2/file")).status == 500
            assert client.request(put("/dev2/file", b"x")).status == 507
        line = wait_for_line(node, device="dev2", errno="ENODEV", operation="read")
        assert line["message"].endswith(" failed: not mounted (ENODEV)")
        subprocess.run(bind, check=True)
        wait_for_line(node, device="dev2", state="ok", message="is mounted now$")
        assert count(node, "dev2 is not mounted, and left out") == 1


def test_disk_that_hangs_and_comes_back(tmp_path: Path) -> None:
    """Of a look that hangs, one of the processes says so."""
    options: dict[str, Any] = {"mgmt": True, "extra": [JSON, "--usage-interval=1", *WORKERS]}
    with node_with_slow_disk(tmp_path / "disk", **options) as (node, disk):
        disk.hang("statfs")
        line = wait_for_line(node, device="dev2", state="hung", message="has not answered for 2 s")
        assert line["level"] == "warning"
        disk.release()
        wait_for_line(node, device="dev2", state="ok", message="answers again$")
        assert count(node, "has not answered") == 1


def test_disk_that_fails_and_answers_again(tmp_path: Path) -> None:
    options: dict[str, Any] = {"mgmt": True, "extra": [JSON, "--usage-interval=1", *WORKERS]}
    with node_with_slow_disk(tmp_path / "disk", **options) as (node, disk):
        disk.fail(errno.EIO, "statfs")
        line = wait_for_line(node, device="dev2", state="failed", errno="EIO")
        assert line["level"] == "error"
        disk.release()
        wait_for_line(node, device="dev2", state="ok", message="answers again$")
        assert count(node, "dev2 fails: ") == 1


def test_lines_and_numbers_of_many_errors_add_up(tmp_path: Path) -> None:
    extra = [JSON, "--usage-interval=3600"]
    with node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=extra) as (node, disk):
        node.write("/dev2/file", b"content")
        disk.fail(errno.EIO, "open")
        with Client(node.http) as client:
            for _ in range(200):
                assert client.request(compose("GET", "/dev2/file")).status == 500
        disk.release()
        wait_for_line(node, errno="EIO", message="more such errors")
        lines = [line for line in lines_of(node) if line.get("errno") == "EIO"]
        mores = [re.search(r"(\d+) more", line["message"]) for line in lines]
        requests = [line for line in lines if "operation" in line]
        assert len(requests) + sum(int(more[1]) for more in mores if more) == 200
        assert len(lines) < 20


@pytest.mark.parametrize("sent", [b"\xe9", b"%0a", b"\x1b[2J", b"\x00", b"\xc2\x85", b'"}'])
def test_bytes_of_clients_break_no_line(rig: tuple[Node, SlowDisk], sent: bytes) -> None:
    node, disk = rig
    disk.fail(errno.EIO, "open", "create", "unlink", "lookup")
    for method in (b"GET", b"PUT", b"DELETE"):
        with Client(node.http) as client:
            client.send(method + b" /dev2/a" + sent + b" HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
            client.recv_once()
    with manage(node) as sidechannel:
        sidechannel.send(b"size /dev2/a" + sent + b"\r\n")
        sidechannel.read_line()
    disk.release()
    assert lines_of(node)
