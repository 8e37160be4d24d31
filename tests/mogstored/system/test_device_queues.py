"""The queue of a device that hangs: clients that leave it, and clients with many requests."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client, compose
from tests.support.puts import put, put_head, traces
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

# Slots of the device that hangs; the node has ten more threads.
SLOTS = 10
CONTENT = b"content"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[tuple[Node, SlowDisk]]:
    with node_with_slow_disk(tmp_path / "disk", mgmt=True) as (node, disk):
        node.write("/dev2/file", CONTENT)
        yield node, disk


def occupy(stack: ExitStack, node: Node, disk: SlowDisk) -> list[Client]:
    """Take all slots of the device that hangs."""
    clients = [stack.enter_context(Client(node.http)) for _ in range(SLOTS)]
    for client in clients:
        client.send(compose("GET", "/dev2/file"))
    disk.wait_until_held(SLOTS)
    return clients


def answered_promptly(client: Client, request: bytes, status: int) -> None:
    assert promptly(partial(client.request, request), AT_ONCE_S).status == status


def open_sockets(node: Node) -> int:
    return len(node.process.net_connections(kind="tcp"))


def test_requests_whose_clients_have_gone_are_forgotten(rig: tuple[Node, SlowDisk]) -> None:
    """For each kind of request, while the disk hangs; the others keep their places."""
    node, disk = rig
    with ExitStack() as stack:
        disk.hang()
        inside = occupy(stack, node, disk)
        before = open_sockets(node)
        patient = stack.enter_context(Client(node.http))
        patient.send(compose("GET", "/dev2/file"))
        requests = [
            compose("GET", "/dev2/file"),
            compose("HEAD", "/dev2/file"),
            compose("GET", "/dev2/file") * 3,
            compose("DELETE", "/dev2/file"),
            put("/dev2/never/stored", CONTENT),
            put_head("/dev2/never/begun", "Content-Length: 100000"),
        ]
        leaving = [stack.enter_context(Client(node.http)) for _ in requests]
        for client, request in zip(leaving, requests, strict=True):
            client.send(request)
        managers = [stack.enter_context(manage(node)) for _ in range(2)]
        managers[0].send(b"size /dev2/file\r\n")
        managers[1].send(b"MD5 /dev2/file fsck\r\n")
        wait_until(
            lambda: open_sockets(node) == before + 1 + len(requests) + len(managers),
            "all are accepted",
        )
        for client in (*leaving, *managers):
            client.close()
        wait_until(lambda: open_sockets(node) == before + 1, "they are forgotten")
        node.wait_for_log("dev2: [0-9]+ requests were given up by their clients")
        # Besides requests: a look, and a search for left-overs.
        assert sum(disk.held().values()) <= SLOTS + 2
        disk.release()
        for client in (*inside, patient):
            assert client.read_response().body == CONTENT
        # No file was removed or made.
        assert traces(node, "/dev2/file") == ["file"]


def test_upload_under_way_is_cleaned_up_when_the_disk_is_back(rig: tuple[Node, SlowDisk]) -> None:
    """Its temporary file cannot be removed while the disk hangs."""
    node, disk = rig
    with ExitStack() as stack:
        upload = stack.enter_context(Client(node.http))
        upload.send(put("/dev2/new", CONTENT)[:-3])
        wait_until(lambda: traces(node, "/dev2/new"), "the upload has begun")
        disk.hang()
        inside = occupy(stack, node, disk)
        upload.send(CONTENT[-3:-2])
        upload.close()
        disk.release()
        for client in inside:
            assert client.read_response().body == CONTENT
        node.wait_for_log("PUT /dev2/new failed .* premature EOF")
        assert traces(node, "/dev2/new") == []


def test_downloads_given_up_on_a_disk_whose_files_cannot_be_closed(
    rig: tuple[Node, SlowDisk],
) -> None:
    """Closing a file takes a slot, so the device never holds more threads than slots."""
    node, disk = rig
    node.write("/dev2/large", bytes(20_000_000))
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(node.http)) for _ in range(3 * SLOTS)]
        for client in clients:
            client.send(compose("GET", "/dev2/large"))
            client.read_head()
        disk.hang("flush")
        for client in clients:
            reset(client.sock)
        disk.wait_until_held(SLOTS, "flush")
        with Client(node.http) as other:
            answered_promptly(other, put("/dev1/new", CONTENT), 201)
        assert disk.held() == {"flush": SLOTS}
        disk.release()
        wait_until(lambda: not node.process.open_files(), "all files are closed")


def test_client_of_many_requests_does_not_go_before_others(tmp_path: Path) -> None:
    """Each client has one place in the queue, however much it has sent."""
    count = 40
    # Each of them opens the file.
    request = compose("HEAD", "/dev2/file")
    extra = ["--aio-threads", "1"]
    with node_with_slow_disk(tmp_path / "disk", extra=extra) as (node, disk), ExitStack() as stack:
        node.write("/dev2/file", CONTENT)
        greedy, *modest = [stack.enter_context(Client(node.http)) for _ in range(5)]
        disk.delay(0.05, "open")
        greedy.send(request * count)
        assert greedy.read_response(head=True).status == 200
        for client in modest:
            client.send(request)
        for client in modest:
            assert client.read_response(head=True).status == 200
        try:
            arrived = greedy.sock.recv(2**16, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            arrived = b""
        assert arrived.count(b"HTTP/1.1 200") < count / 2
        for _ in range(count - 1):
            assert greedy.read_response(head=True).status == 200


def test_more_devices_hang_than_there_are_threads(tmp_path: Path) -> None:
    """Threads that hang are replaced; the replacements end when the disks answer."""
    # With the two in reserve, all of them.
    hanging, threads = 6, 4
    extra = ["--aio-threads", str(threads)]
    with node_with_slow_disk(tmp_path / "disk", extra=extra) as (node, disk), ExitStack() as stack:
        names = [f"dev{number}" for number in range(3, 3 + hanging)]
        with Client(node.http) as client:
            for name in names:
                (disk.path / name).mkdir()
                (node.docroot / name).symlink_to(disk.path / name)
                assert client.request(put(f"/{name}/file", CONTENT)).status == 201
            assert client.request(put("/dev1/file", CONTENT)).status == 201
        before = node.process.num_threads()
        disk.hang()
        clients = [stack.enter_context(Client(node.http)) for _ in range(5 * hanging)]
        for number, client in enumerate(clients):
            client.send(compose("GET", f"/{names[number % hanging]}/file"))
        wait_until(lambda: node.process.num_threads() == before + hanging, "each is made up for")
        with Client(node.http) as other:
            answered_promptly(other, put("/dev1/new", CONTENT), 201)
            answered_promptly(other, compose("GET", "/dev1/new"), 200)
        disk.release()
        for client in clients:
            assert client.read_response().body == CONTENT
        wait_until(lambda: node.process.num_threads() <= before, "the threads have gone")


def test_devices_that_came_after_the_start(tmp_path: Path) -> None:
    """Nothing looks at the docroot of a node without a sidechannel; its files are only read."""
    with node_with_slow_disk(tmp_path / "disk") as (node, disk), ExitStack() as stack:
        (disk.path / "dev3").mkdir()
        (node.docroot / "dev3").symlink_to(disk.path / "dev3")
        (node.docroot / "dev4").mkdir()
        other = stack.enter_context(Client(node.http))
        for device in ("dev3", "dev4"):
            node.write(f"/{device}/file", CONTENT)
            assert other.request(compose("GET", f"/{device}/file")).status == 200
        disk.hang()
        clients = [stack.enter_context(Client(node.http)) for _ in range(2 * SLOTS)]
        for client in clients:
            client.send(compose("GET", "/dev3/file"))
        disk.wait_until_held(SLOTS)
        answered_promptly(other, compose("GET", "/dev4/file"), 200)
        disk.release()
        for client in clients:
            assert client.read_response().body == CONTENT


@pytest.mark.parametrize("path", ["/./dev2/file", "//dev2/file", "/.//dev2//file"])
def test_other_ways_to_write_a_path_are_the_same_device(
    rig: tuple[Node, SlowDisk], path: str
) -> None:
    """Four times as many requests as slots hold no more threads than slots."""
    node, disk = rig
    disk.hang()
    with ExitStack() as stack:
        clients: Sequence[Client] = [
            stack.enter_context(Client(node.http)) for _ in range(4 * SLOTS)
        ]
        for client in clients:
            client.send(compose("GET", path))
        disk.wait_until_held(SLOTS)
        with Client(node.http) as other:
            answered_promptly(other, put("/dev1/new", CONTENT), 201)
        # The node checks its devices itself, too.
        # Besides requests: a look, and a search for left-overs.
        assert sum(disk.held().values()) <= SLOTS + 2
        disk.release()
        for client in clients:
            assert client.read_response().body == CONTENT


def test_digests_of_other_devices_go_on_beside_one_that_hangs(rig: tuple[Node, SlowDisk]) -> None:
    """A command waits for those of its own connection only."""
    node, disk = rig
    node.write("/dev1/file", CONTENT)
    disk.hang()
    with ExitStack() as stack:
        stuck = [stack.enter_context(manage(node)) for _ in range(3)]
        for number, manager in enumerate(stuck):
            manager.send((b"size /dev2/file\r\n", b"MD5 /dev2/file\r\n")[number % 2])
            manager.send(b"size /dev1/file\r\n")
        disk.wait_until_held(len(stuck))
        with manage(node) as other:
            md5 = promptly(partial(other.ask, b"MD5 /dev1/file fsck"), AT_ONCE_S)
            assert md5.startswith(b"/dev1/file MD5=9a03")
            size = promptly(partial(other.ask, b"size /dev1/file"), AT_ONCE_S)
            assert size == b"/dev1/file 7\r\n"
        disk.release()
        for manager in stuck:
            assert manager.read_line().startswith(b"/dev2/file ")
            assert manager.read_line() == b"/dev1/file 7\r\n"
