"""The line before a device that hangs: clients who leave it, and clients who want a lot."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client, compose
from tests.support.puts import put, put_head, traces
from tests.support.sidechannel import manage
from tests.support.slow_disk import node_with_slow_disk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.daemon import Node
    from tests.support.fuse.control import SlowDisk

# Of the one device that hangs; the node has ten more threads.
SLOTS = 10
CONTENT = b"content"
AT_ONCE_S = 0.5
# struct linger: on, for no time. Closing then resets.
RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[tuple[Node, SlowDisk]]:
    with node_with_slow_disk(tmp_path / "disk", mgmt=True) as (node, disk):
        node.write("/dev2/file", CONTENT)
        yield node, disk


def occupy(stack: ExitStack, node: Node, disk: SlowDisk) -> list[Client]:
    """Take all slots of the device that hangs."""
    clients = [stack.enter_context(Client(node.http, 30.0)) for _ in range(SLOTS)]
    for client in clients:
        client.send(compose("GET", "/dev2/file"))
    disk.wait_until_held(SLOTS)
    return clients


def open_sockets(node: Node) -> int:
    return len(node.process.net_connections(kind="tcp"))


def test_requests_whose_clients_have_gone_are_forgotten(rig: tuple[Node, SlowDisk]) -> None:
    """Of every kind that waits, while the disk still hangs; the others keep their places."""
    node, disk = rig
    with ExitStack() as stack:
        disk.hang()
        inside = occupy(stack, node, disk)
        before = open_sockets(node)
        patient = stack.enter_context(Client(node.http, 30.0))
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
        assert sum(disk.held().values()) <= SLOTS + 1
        disk.release()
        for client in (*inside, patient):
            assert client.read_response().body == CONTENT
        # Neither was the file removed, nor another one made.
        assert traces(node, "/dev2/file") == ["file"]


def test_upload_under_way_is_cleaned_up_when_the_disk_is_back(rig: tuple[Node, SlowDisk]) -> None:
    """What lies on the disk cannot be let go without touching it."""
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
    """A file is let go with a slot held, so that no more threads hang in it than have slots."""
    node, disk = rig
    node.write("/dev2/large", bytes(20_000_000))
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(node.http)) for _ in range(3 * SLOTS)]
        for client in clients:
            client.send(compose("GET", "/dev2/large"))
            client.read_head()
        disk.hang("flush")
        for client in clients:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
        disk.wait_until_held(SLOTS, "flush")
        with Client(node.http) as other:
            began = time.monotonic()
            assert other.request(put("/dev1/new", CONTENT)).status == 201
            assert time.monotonic() - began < AT_ONCE_S
        assert disk.held() == {"flush": SLOTS}
        disk.release()
        wait_until(lambda: not node.process.open_files(), "all files are closed")


def test_client_of_many_requests_does_not_go_before_others(tmp_path: Path) -> None:
    """It has one place in the line, as everybody has, however much it has sent."""
    count = 16
    extra = ["--aio-threads", "1"]
    with node_with_slow_disk(tmp_path / "disk", extra=extra) as (node, disk), ExitStack() as stack:
        node.write("/dev2/file", CONTENT)
        disk.delay(0.01, "open")
        greedy, *modest = [stack.enter_context(Client(node.http)) for _ in range(5)]
        greedy.send(compose("GET", "/dev2/file") * count)
        assert greedy.read_response().body == CONTENT
        began = time.monotonic()
        for client in modest:
            client.send(compose("GET", "/dev2/file"))
        for client in modest:
            assert client.read_response().body == CONTENT
        modest_s = time.monotonic() - began
        for _ in range(count - 1):
            assert greedy.read_response().body == CONTENT
        greedy_s = time.monotonic() - began
        assert modest_s < greedy_s / 2


def test_more_devices_hang_than_there_are_threads(tmp_path: Path) -> None:
    """Threads that hang are replaced, and dismissed again when their disk is back."""
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
        clients = [stack.enter_context(Client(node.http, 30.0)) for _ in range(5 * hanging)]
        for number, client in enumerate(clients):
            client.send(compose("GET", f"/{names[number % hanging]}/file"))
        wait_until(
            lambda: node.process.num_threads() == before + hanging, "each is made up for", 20.0
        )
        with Client(node.http) as other:
            for request in (put("/dev1/new", CONTENT), compose("GET", "/dev1/new")):
                began = time.monotonic()
                assert other.request(request).status in (200, 201)
                assert time.monotonic() - began < AT_ONCE_S
        disk.release()
        for client in clients:
            assert client.read_response().body == CONTENT
        # There are two more now, who look after the files that are kept open, and close them.
        wait_until(lambda: node.process.num_threads() <= before + 2, "the threads have gone")


@pytest.mark.parametrize("path", ["/./dev2/file", "//dev2/file", "/.//dev2//file"])
def test_other_ways_to_write_a_path_are_the_same_device(
    rig: tuple[Node, SlowDisk], path: str
) -> None:
    """Four times as many as the device has slots; they must not hold more threads than that."""
    node, disk = rig
    disk.hang()
    with ExitStack() as stack:
        clients: Sequence[Client] = [
            stack.enter_context(Client(node.http, 30.0)) for _ in range(4 * SLOTS)
        ]
        for client in clients:
            client.send(compose("GET", path))
        disk.wait_until_held(SLOTS)
        with Client(node.http) as other:
            began = time.monotonic()
            assert other.request(put("/dev1/new", CONTENT)).status == 201
            assert time.monotonic() - began < AT_ONCE_S
        # The node itself looks at its devices, too.
        assert sum(disk.held().values()) <= SLOTS + 1
        disk.release()
        for client in clients:
            assert client.read_response().body == CONTENT


def test_digests_of_other_devices_go_on_beside_one_that_hangs(rig: tuple[Node, SlowDisk]) -> None:
    """Each connection of the sidechannel is a line of its own; nobody else stands in it."""
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
            began = time.monotonic()
            assert other.ask(b"MD5 /dev1/file fsck").startswith(b"/dev1/file MD5=9a03")
            assert other.ask(b"size /dev1/file") == b"/dev1/file 7\r\n"
            assert time.monotonic() - began < AT_ONCE_S
        disk.release()
        for manager in stuck:
            assert manager.read_line().startswith(b"/dev2/file ")
            assert manager.read_line() == b"/dev1/file 7\r\n"
