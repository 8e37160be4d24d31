"""PUTs are refused before a device is full, and all else goes on."""

from __future__ import annotations

import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.disks import free_bytes, small_disk
from tests.support.http import Client, compose
from tests.support.puts import (
    CHUNKED,
    NO_STORAGE,
    assert_created,
    assert_refused,
    chunk,
    chunks,
    md5_of,
    put,
    put_head,
    traces,
    wait_until_begun,
    wait_until_untouched,
)
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIB = 1024
MIB = 1024 * KIB
SIZE = 16 * MIB
FREE = 8 * MIB
# For what the node writes there itself: its usage file.
SLACK = 64 * KIB
PART = 5 * MIB // 2
# Only looks that near the limit asks for come in a test.
RARELY = "--usage-interval=3600"


@contextmanager
def node_on(path: Path, *extra: str, mgmt: bool = True) -> Iterator[Node]:
    """Run a node whose dev2 is a small file system of its own and whose dev1 is not."""
    with small_disk(path, f"size={SIZE}"):
        node = Node(devices=("dev1",), mgmt=mgmt, extra=[RARELY, *extra])
        (node.docroot / "dev2").symlink_to(path)
        with node:
            yield node


@pytest.fixture(params=[True, False], ids=["with sidechannel", "without"])
def tight(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Node]:
    with node_on(tmp_path / "disk", f"--min-free={FREE}", mgmt=request.param) as node:
        yield node


def fits(node: Node, target: str, size: int) -> bool:
    """Store a file of so many bytes, or find out that there is no room for it."""
    with Client(node.http) as client:
        client.send(put_head(target, f"Content-Length: {size}", "Expect: 100-continue"))
        if client.read_response().status == 507:
            client.read_eof()
            return False
        client.send(b"x" * size)
        assert_created(client.read_response())
        return True


def free(node: Node) -> int:
    return free_bytes(node.path("/dev2"))


def test_what_fits_is_stored_and_the_rest_refused(tight: Node) -> None:
    number = 0
    while fits(tight, f"/dev2/{number}", MIB):
        number += 1
    # The file system has some room of its own for directories.
    assert (SIZE - FREE) // MIB - 1 <= number <= (SIZE - FREE) // MIB
    assert free(tight) >= FREE - SLACK
    assert traces(tight, f"/dev2/{number}") == []
    tight.wait_for_log(
        f"PUT /dev2/{number} from 127.0.0.1:[0-9]+ refused: .*/dev2 must keep {FREE} free, and has"
    )
    assert fits(tight, "/dev1/other", 20 * MIB)


@pytest.mark.parametrize(
    "request_",
    [
        put("/dev2/f", b"x" * (9 * KIB)),
        put("/dev2/f", b"x" * (9 * KIB), f"Content-MD5: {md5_of(b'x' * 9 * KIB)}"),
        put_head("/dev2/f", CHUNKED) + chunks(b"x" * 9 * KIB, KIB),
        put("/dev2/f", b"x" * (9 * KIB), f"Content-Range: bytes 0-{9 * KIB - 1}/*"),
        put("/dev2/f", b""),
    ],
    ids=["whole", "checked", "chunked", "part", "empty"],
)
def test_below_the_limit_nothing_is_stored(tmp_path: Path, request_: bytes) -> None:
    with node_on(tmp_path / "disk", "--min-free=99.9%") as node:
        node.path("/dev2/filler").write_bytes(b"x" * MIB)
        wait_until(lambda: _is_refused(node, "/dev2/probe"), "the node has seen it")
        assert_refused(node.http, request_, NO_STORAGE)
        assert traces(node, "/dev2/f") == []


def _is_refused(node: Node, target: str) -> bool:
    with Client(node.http) as client:
        return client.request(put(target, b"x")).status == 507


def test_get_and_delete_go_on_and_make_room(tight: Node) -> None:
    names = [f"/dev2/{number}" for number in range(20)]
    stored = [name for name in names if fits(tight, name, MIB)]
    assert not fits(tight, "/dev2/more", MIB)
    with Client(tight.http) as client:
        assert client.request(compose("GET", stored[0])).body == b"x" * MIB
        assert client.request(compose("HEAD", stored[0]), head=True).status == 200
        # A tracker does not ask again after this, whatever room there is.
        assert client.request(compose("MKCOL", "/dev2/dir")).status == 400
        for name in stored[:3]:
            assert client.request(compose("DELETE", name)).status == 204
    wait_until(lambda: fits(tight, "/dev2/more", 2 * MIB), "the room is found")


def test_room_that_others_take_is_seen(tight: Node) -> None:
    assert fits(tight, "/dev2/first", MIB)
    tight.path("/dev2/by another program").write_bytes(b"x" * (7 * MIB))
    wait_until(lambda: not fits(tight, "/dev2/again", 512 * KIB), "the node has seen it")
    assert fits(tight, "/dev1/again", 512 * KIB)


def test_file_that_replaces_another_needs_room_beside_it(tight: Node) -> None:
    assert fits(tight, "/dev2/f", 5 * MIB)
    assert not fits(tight, "/dev2/f", 5 * MIB)
    assert traces(tight, "/dev2/f") == ["f"]
    assert fits(tight, "/dev2/f", MIB)
    assert tight.path("/dev2/f").stat().st_size == MIB


def test_chunked_body_is_refused_when_it_has_become_too_long(tight: Node) -> None:
    with Client(tight.http) as client:
        client.send(put_head("/dev2/f", CHUNKED))
        wait_until_begun(tight, "/dev2/f")
        try:
            for _ in range(10):
                client.send(chunk(b"x" * MIB))
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert client.read_response().status == 507
    wait_until_untouched(tight, "/dev2/f")
    wait_until(lambda: fits(tight, "/dev2/g", 7 * MIB), "its room is free")


def test_uploads_at_a_time_share_the_room(tight: Node) -> None:
    """Six begin before a byte of them is there; three fit."""
    fields = (f"Content-Length: {PART}", "Expect: 100-continue")
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(tight.http)) for _ in range(6)]
        begun = []
        for number, client in enumerate(clients):
            client.send(put_head(f"/dev2/{number}", *fields))
            if client.read_response().status == 100:
                begun.append(client)
            else:
                client.read_eof()
        assert len(begun) == 3
        # One goes, and its room is for another.
        begun.pop().close()

        def another() -> bool:
            client = stack.enter_context(Client(tight.http))
            client.send(put_head("/dev2/another", *fields))
            if client.read_response().status == 507:
                client.close()
                return False
            begun.append(client)
            return True

        wait_until(another, "the room of one that has gone")
        for client in begun:
            client.send(b"x" * PART)
            assert_created(client.read_response())
    assert free(tight) >= FREE - SLACK


def test_many_threads_do_not_pass_the_limit(tight: Node) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(tight.http)) for _ in range(24)]
        for number, client in enumerate(clients):
            # The kernel takes them whole.
            client.send(put(f"/dev2/{number}", b"x" * (512 * KIB)))
        statuses = [client.read_response().status for client in clients]
    assert set(statuses) == {201, 507}
    assert free(tight) >= FREE - SLACK


def test_write_test_of_a_tracker(tmp_path: Path) -> None:
    with node_on(tmp_path / "disk", "--min-free=95%") as node:
        node.path("/dev2/filler").write_bytes(b"x" * MIB)
        target = "/dev2/test-write/test-write-7"
        wait_until(lambda: _is_refused(node, target), "the device takes no new files")
        node.path("/dev2/filler").unlink()
        wait_until(lambda: not _is_refused(node, target), "it has room again")
        assert traces(node, target) == ["test-write-7"]


def test_workers_find_out_what_others_store(tmp_path: Path) -> None:
    with node_on(tmp_path / "disk", f"--min-free={FREE}", "--worker-processes=3") as node:
        # Slowly enough that each of them looks meanwhile.
        stored = 0
        while fits(node, f"/dev2/{stored}", 16 * KIB):
            stored += 1
        wait_until(
            lambda: not any(fits(node, "/dev2/0", 16 * KIB) for _ in range(10)),
            "all of them refuse",
        )
        assert FREE / 2 < free(node) < FREE + MIB


def test_changed_while_the_node_runs(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.write_text("maxconns = 1000\n")
    with node_on(tmp_path / "disk", f"--config={conf}") as node:
        assert fits(node, "/dev2/f", 9 * MIB)
        conf.write_text(f"min_free = {FREE}\n")
        node.send_signal(signal.SIGHUP)
        wait_until(lambda: not fits(node, "/dev2/g", KIB), "the limit holds")
        conf.write_text("min_free = ten\n")
        node.send_signal(signal.SIGHUP)
        node.wait_for_log("min_free = ten: neither a size such as 10G")
        assert not fits(node, "/dev2/g", KIB)
        conf.write_text("maxconns = 1000\n")
        node.send_signal(signal.SIGHUP)
        wait_until(lambda: fits(node, "/dev2/g", KIB), "there is no limit")


def test_new_limit_where_nothing_looks_is_reported(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.write_text("maxconns = 1000\n")
    with Node(extra=[f"--config={conf}"]) as node:
        conf.write_text("min_free = 10G\n")
        node.send_signal(signal.SIGHUP)
        node.wait_for_log(f"min_free does not hold in {node.docroot} before an upgrade")
