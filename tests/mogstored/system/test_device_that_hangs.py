"""A disk that hangs, is slow or fails does not affect another one."""

from __future__ import annotations

import errno
import os
import signal
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.forms import FORMS
from tests.support.http import Client, compose
from tests.support.processes import one_client_each
from tests.support.puts import put, traces
from tests.support.sidechannel import manage
from tests.support.slow_disk import node_with_slow_disk
from tests.support.sockets import reset
from tests.support.tracker import AT_ONCE_S
from tests.support.waiting import promptly, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.bad_disk.control import SlowDisk
    from tests.support.daemon import Node


# A disk that hangs holds no more threads of one process, and half as many in each of two.
SLOTS = 10
DIGEST = b"/dev1/file MD5=9a0364b9e99bb480dd25e1f0284c8555\r\n"
CONTENT = b"content"
# A file that changed a moment ago is not kept.
SETTLED_NS = 200_000_000


def assert_other_disk_is_served(client: Client) -> None:
    """Expect prompt answers to all requests of a tracker for dev1; and any answer for dev2."""

    def ask(request: bytes, *statuses: int) -> None:
        answer = client.request(request, head=request.startswith(b"HEAD"))
        assert answer.status in statuses, request

    def change() -> None:
        ask(put("/dev1/new/file", CONTENT), 201)
        ask(compose("DELETE", "/dev1/new/file"), 204)

    promptly(partial(ask, compose("GET", "/dev1/usage"), 200), AT_ONCE_S)
    promptly(partial(ask, compose("GET", "/dev2/usage"), 200, 500), AT_ONCE_S)
    promptly(change, AT_ONCE_S)
    ask(put("/dev1/new/file", CONTENT), 201)
    for method in ("HEAD", "GET"):
        promptly(partial(ask, compose(method, "/dev1/new/file"), 200), AT_ONCE_S)
    ask(compose("DELETE", "/dev1/new/file"), 204)


@contextmanager
def asking(node: Node, requests: Sequence[bytes]) -> Iterator[list[Client]]:
    """Send each on a connection of its own."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(node.http)) for _ in requests]
        for client, request in zip(clients, requests, strict=True):
            client.send(request)
        yield clients


@FORMS
def test_each_kind_of_request_hangs(tmp_path: Path, extra: Sequence[str]) -> None:
    """Four times as many requests as the device has slots."""
    requests = [
        request
        for number in range(SLOTS)
        for request in (
            compose("GET", "/dev2/file"),
            compose("HEAD", "/dev2/file"),
            put(f"/dev2/new{number}/file", CONTENT),
            compose("DELETE", f"/dev2/none{number}"),
        )
    ]
    with (
        node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=extra) as (node, disk),
        one_client_each(node) as others,
        manage(node) as digests,
        manage(node) as sizes,
        manage(node) as sidechannel,
    ):
        node.write("/dev1/file", CONTENT)
        node.write("/dev2/file", CONTENT)
        disk.hang()
        with asking(node, requests) as clients:
            disk.wait_until_held(SLOTS // 2 if extra else SLOTS)
            digests.send(b"MD5 /dev2/file fsck\r\n")
            sizes.send(b"size /dev2/file\r\n")
            for client in others:
                assert_other_disk_is_served(client)
            for line, answer in (
                (b"MD5 /dev1/file fsck", DIGEST),
                (b"size /dev1/file", b"/dev1/file 7\r\n"),
            ):
                assert promptly(partial(sidechannel.ask, line), AT_ONCE_S) == answer
            disk.release()
            statuses = [
                client.read_response(head=request.startswith(b"HEAD")).status
                for client, request in zip(clients, requests, strict=True)
            ]
        assert statuses == [200, 200, 201, 404] * SLOTS
        assert digests.read_line() == DIGEST.replace(b"dev1", b"dev2")
        assert sizes.read_line() == b"/dev2/file 7\r\n"


def test_files_that_were_read_lately(rig: tuple[Node, SlowDisk]) -> None:
    """Their content is in memory, but only the disk knows whether it is current."""
    node, disk = rig
    count = 4 * SLOTS
    for number in range(count):
        node.write(f"/dev2/file{number}", CONTENT)
    changed_ns = node.path(f"/dev2/file{count - 1}").stat().st_ctime_ns
    wait_until(lambda: time.time_ns() - changed_ns > SETTLED_NS, "the files may be kept")
    requests = [compose("GET", f"/dev2/file{number}") for number in range(count)]
    with asking(node, requests) as clients, Client(node.http) as other:
        for client in clients:
            assert client.read_response().body == CONTENT
        disk.hang()
        for client, request in zip(clients, requests, strict=True):
            client.send(request)
        disk.wait_until_held(SLOTS)
        assert_other_disk_is_served(other)
        disk.release()
        for client in clients:
            assert client.read_response().body == CONTENT


def test_uploads_and_downloads_under_way(rig: tuple[Node, SlowDisk]) -> None:
    """The disk begins to hang in the middle; its clients may leave."""
    node, disk = rig
    large = os.urandom(20_000_000)
    node.write("/dev2/large", large)
    gets = [compose("GET", "/dev2/large")] * SLOTS
    halves = [put(f"/dev2/up{number}", CONTENT)[:-3] for number in range(4 * SLOTS)]
    with asking(node, [*gets, *halves]) as clients, Client(node.http) as other:
        downloads, uploads = clients[:SLOTS], clients[SLOTS:]
        for client in downloads:
            client.read_head()
        for number in range(4 * SLOTS):
            name = f"/dev2/up{number}"
            wait_until(partial(traces, node, name), "the upload has begun")
        disk.hang()
        for client in uploads[: 2 * SLOTS]:
            client.send(CONTENT[-3:])
        for client in uploads[2 * SLOTS :]:
            client.close()
        disk.wait_until_held(SLOTS)
        assert_other_disk_is_served(other)
        disk.release()
        for client in downloads:
            assert client.read_exactly(len(large)) == large
        for client in uploads[: 2 * SLOTS]:
            assert client.read_response().status == 201
        stored = {"usage", "large", *(f"up{number}" for number in range(2 * SLOTS))}
        wait_until(lambda: set(os.listdir(disk.path)) == stored, "no temporary file is left")
        assert node.path("/dev2/up0").read_bytes() == CONTENT


def test_uploads_whose_clients_have_gone(rig: tuple[Node, SlowDisk]) -> None:
    """Their connections end while the disk hangs, and their files are removed when it answers."""
    node, disk = rig
    targets = [f"/dev2/up{number}" for number in range(4 * SLOTS)]
    halves = [put(target, CONTENT)[:-3] for target in targets]
    with asking(node, halves) as clients, Client(node.http) as other:
        for target in targets:
            wait_until(partial(traces, node, target), "the upload has begun")
        disk.hang("write")
        for client in clients:
            client.send(CONTENT[-3:-1])
        disk.wait_until_held(SLOTS)
        descriptors = node.process.num_fds()
        for client in clients:
            reset(client.sock)
        node.wait_for_log("dev2: [0-9]+ requests were given up by their clients")
        fewer = descriptors - 3 * SLOTS
        wait_until(lambda: node.process.num_fds() <= fewer, "the connections are closed")
        assert_other_disk_is_served(other)
        disk.release()
        wait_until(lambda: os.listdir(disk.path) == ["usage"], "no temporary file is left")
        assert node.stop() == 0


def test_start_with_a_disk_that_hangs(tmp_path: Path) -> None:
    with node_with_slow_disk(tmp_path / "disk", hangs=True, mgmt=True) as (node, disk):
        node.wait_for_log("dev2 has not answered for 2 s, and is left out")
        with Client(node.http) as client, Client(node.http) as patient:
            patient.send(put("/dev2/file", CONTENT))
            for request, status in (
                (compose("GET", "/dev1/usage"), 200),
                (compose("GET", "/dev2/usage"), 500),
                (put("/dev1/file", CONTENT), 201),
            ):
                answer = promptly(partial(client.request, request), AT_ONCE_S)
                assert answer.status == status
            disk.release()
            assert patient.read_response().status == 201
            node.wait_for_log("dev2 answers again")
            assert_other_disk_is_served(client)


def test_usage_of_a_device_that_is_known_to_hang(tmp_path: Path) -> None:
    """An old record makes a tracker send files there; no answer makes it give up the host."""
    env = {"MOG_DISK_USAGE_INTERVAL": "1"}
    with node_with_slow_disk(tmp_path / "disk", mgmt=True, env=env) as (node, disk):
        usage = compose("GET", "/dev2/usage")
        with Client(node.http) as client:
            assert client.request(usage).status == 200
            disk.hang()
            node.wait_for_log("dev2 has not answered for 2 s, and is left out")
            for request in (usage, compose("HEAD", "/dev2/usage")):
                head = request.startswith(b"HEAD")
                answer = promptly(partial(client.request, request, head), AT_ONCE_S)
                assert answer.status == 500
            disk.release()
            node.wait_for_log("dev2 answers again")
            wait_until(lambda: client.request(usage).status == 200, "its usage is served again")


@pytest.mark.parametrize(
    ("operations", "requests"), [((), 0), (("open",), 1)], ids=["asked for", "at work"]
)
def test_usage_of_a_device_that_begins_to_hang(
    tmp_path: Path, operations: tuple[str, ...], requests: int
) -> None:
    """Noticed by a request for the usage, or by one that hangs, before the node's own check."""
    env = {"MOG_DISK_USAGE_INTERVAL": "1000"}
    usage = compose("GET", "/dev2/usage")
    with node_with_slow_disk(tmp_path / "disk", mgmt=True, env=env) as (node, disk):
        node.write("/dev2/file", CONTENT)
        # Checking the device opens no file of it.
        disk.hang(*operations)
        with asking(node, [compose("GET", "/dev2/file")] * requests), Client(node.http) as client:
            wait_until(lambda: client.request(usage).status == 500, "it counts as hanging")
            promptly(partial(client.request, usage), AT_ONCE_S)
            disk.release()
            wait_until(lambda: client.request(usage).status == 200, "it answers again")


@pytest.mark.parametrize("operation", ["statfs", "getattr"])
def test_usage_of_a_device_that_fails(tmp_path: Path, operation: str) -> None:
    """The usage file is there, and could be read."""
    env = {"MOG_DISK_USAGE_INTERVAL": "1"}
    usage = compose("GET", "/dev2/usage")
    with (
        node_with_slow_disk(tmp_path / "disk", mgmt=True, env=env) as (node, disk),
        Client(node.http) as client,
    ):
        assert client.request(usage).status == 200
        disk.fail(errno.EIO, operation)
        node.wait_for_log(r"/dev2 fails: Input/output error \(EIO\); its usage is answered")
        assert client.request(usage).status == 500
        assert client.request(compose("HEAD", "/dev2/usage"), head=True).status == 500
        assert client.request(compose("GET", "/dev1/usage")).status == 200
        disk.release()
        node.wait_for_log("/dev2 answers again")
        assert client.request(usage).status == 200


def test_watchers_go_on(rig: tuple[Node, SlowDisk]) -> None:
    """A new watcher waits for the check of devices for a limited time, and sees all of them."""
    node, disk = rig
    with manage(node) as old, manage(node) as new:
        old.send(b"watch\n")
        before = [line.split(b"\t")[0] for line in old.read_block()]
        disk.hang()
        new.send(b"watch\n")
        for watcher in (old, new):
            assert [line.split(b"\t")[0] for line in watcher.read_block()] == before
        assert before == [b"1", b"2"]


@FORMS
def test_stop_waits_for_what_hangs(tmp_path: Path, extra: Sequence[str]) -> None:
    with node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=extra) as (node, disk):
        node.write("/dev2/file", CONTENT)
        disk.hang()
        requests = [compose("GET", "/dev2/file")] * (2 * SLOTS)
        with asking(node, requests) as clients:
            disk.wait_until_held(SLOTS // 2 if extra else SLOTS)
            node.begin_stop(signal.SIGTERM)
            assert node.is_running()
            disk.release()
            for client in clients:
                assert client.read_response().body == CONTENT
                client.read_eof()
            assert node.wait() == 0


def test_stop_while_only_the_node_itself_asks(tmp_path: Path) -> None:
    """The node stops, but the system does not end a process that waits for the disk."""
    pidfile = tmp_path / "pid"
    env = {"MOG_DISK_USAGE_INTERVAL": "1"}
    extra = ["--pidfile", str(pidfile)]
    with node_with_slow_disk(tmp_path / "disk", mgmt=True, env=env, extra=extra) as (node, disk):
        disk.hang()
        disk.wait_until_held(1)
        node.send_signal(signal.SIGTERM)
        wait_until(lambda: not pidfile.exists(), "the node has let go of everything")
        disk.release()
        assert node.wait() == 0


def test_slow_disk_loses_nothing(rig: tuple[Node, SlowDisk]) -> None:
    node, disk = rig
    disk.delay(0.002)
    requests = [put(f"/dev2/a/b/file{number}", CONTENT) for number in range(2 * SLOTS)]
    with asking(node, requests) as clients:
        for number, client in enumerate(clients):
            assert client.read_response().status == 201
            name = f"/dev2/a/b/file{number}"
            assert client.request(compose("GET", name)).body == CONTENT
            assert client.request(compose("DELETE", name)).status == 204
            assert client.request(compose("GET", name)).status == 404
    disk.release()
    assert os.listdir(disk.path / "a/b") == []


@pytest.mark.parametrize("error", [errno.EIO, errno.ENODEV, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("operation", ["create", "write", "setattr", "flush", "rename"])
def test_upload_to_a_disk_that_fails(
    shared: tuple[Node, SlowDisk], operation: str, error: int
) -> None:
    """The upload is refused, and the old file stays."""
    node, disk = shared
    node.write("/dev2/file", b"before")
    disk.fail(error, operation)
    with Client(node.http) as client:
        answer = client.request(put("/dev2/file", CONTENT))
        expected = 403 if (operation, error) == ("create", errno.EROFS) else 500
        assert (answer.status, answer.keeps) == (expected, False)
        client.read_eof()
    disk.release()
    assert traces(node, "/dev2/file") == ["file"]
    assert node.path("/dev2/file").read_bytes() == b"before"


@pytest.mark.parametrize("error", [errno.EIO, errno.ENODEV, errno.ESTALE], ids=errno.errorcode.get)
@pytest.mark.parametrize("operation", ["lookup", "getattr", "open", "read"])
def test_file_on_a_disk_that_fails_is_not_missing(
    shared: tuple[Node, SlowDisk], operation: str, error: int
) -> None:
    """After a 404 a checker forgets the copy."""
    node, disk = shared
    node.write("/dev2/file", CONTENT)
    disk.fail(error, operation)
    with Client(node.http) as client, manage(node) as sidechannel:
        answer = client.request(compose("GET", "/dev2/file"))
        assert answer.status == 500
        if operation != "read":
            head = client.request(compose("HEAD", "/dev2/file"), head=True)
            assert head.status == 500
        line = sidechannel.ask(b"MD5 /dev2/file")
        if operation == "read":
            assert line == b"ERR read /dev2/file at 0 failed\r\n"
        else:
            assert line == b"/dev2/file MD5=-1\r\n"
        assert_other_disk_is_served(client)
        disk.release()
        assert client.request(compose("GET", "/dev2/file")).body == CONTENT


@pytest.mark.parametrize("operation", ["lookup", "unlink"])
def test_removal_from_a_disk_that_fails(shared: tuple[Node, SlowDisk], operation: str) -> None:
    node, disk = shared
    node.write("/dev2/file", CONTENT)
    disk.fail(errno.EIO, operation)
    with Client(node.http) as client:
        assert client.request(compose("DELETE", "/dev2/file")).status == 500
        disk.release()
        assert client.request(compose("GET", "/dev2/file")).body == CONTENT
        assert client.request(compose("DELETE", "/dev2/file")).status == 204
