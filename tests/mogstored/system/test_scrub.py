"""A node that reads its files again in the background."""

from __future__ import annotations

import errno
import json
import random
import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.attributes import takes_attributes
from tests.support.daemon import Node
from tests.support.http import Client, ask, compose
from tests.support.puts import assert_created, put
from tests.support.rot import flip, plant, store, store_many
from tests.support.slow_disk import slow_disk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PERIOD = "--scrub=30d"
FAST = "--scrub-rate=1000"
WRONG = re.compile(r": (\S+) is not what was stored: (\w+ \w+) instead of (\w+ \w+)")


@pytest.fixture(autouse=True)
def _attributes(tmp_path: Path) -> None:
    if not takes_attributes(tmp_path):
        pytest.skip("the file system has no attributes")


def state_of(node: Node, device: str = "dev1") -> dict[str, Any]:
    try:
        text = (node.docroot / ".mogstored" / f"scrub-{device}.json").read_text()
    except FileNotFoundError:
        return {}
    state: dict[str, Any] = json.loads(text)
    return state


def has_ended(node: Node, device: str = "dev1") -> bool:
    state = state_of(node, device)
    return bool(state) and state["ended_at"] >= state["began_at"] > 0


@contextmanager
def node_over(docroot: Path, *extra: str, **options: Any) -> Iterator[Node]:
    """Run a node over a docroot that stays."""
    node = Node(devices=(), names_docroot=False, extra=[f"--docroot={docroot}", *extra], **options)
    own, node.docroot = node.docroot, docroot.resolve()
    try:
        with node:
            yield node
            node.docroot = own
    finally:
        node.docroot = own


@pytest.mark.parametrize("workers", [0, 2], ids=["single", "workers"])
def test_finds_all_that_has_rotten_and_nothing_else(tmp_path: Path, workers: int) -> None:
    source = random.Random(workers)
    paths = []
    for device in ("dev1", "dev2"):
        paths += store_many(tmp_path / device, 100, source, ["md5", "sha256"])
    rotten = plant(source.sample(paths, 12), source)
    contents = {path: path.read_bytes() for path in paths}
    with node_over(tmp_path, PERIOD, FAST, f"--worker-processes={workers}") as node:
        wait_until(lambda: has_ended(node) and has_ended(node, "dev2"), "both were read")
        for number in (1, 2):
            node.wait_for_log(rf"dev{number} was read to its end: \d+ files, 0 MiB, \d+ findings")
        lines = [found for line in node.stderr_lines() if (found := WRONG.search(line))]
        listed = [each[1] for dev in ("dev1", "dev2") for each in state_of(node, dev)["findings"]]
    assert {line[1] for line in lines} == {str(path) for path in rotten}
    assert all(line[2] != line[3] for line in lines)
    assert len(lines) == len(rotten), "one process reads, once"
    assert sorted(listed) == sorted(str(path) for path in rotten)
    assert {path: path.read_bytes() for path in paths} == contents


@pytest.mark.parametrize("workers", [0, 2], ids=["single", "workers"])
def test_admin_listener_shows_findings_and_counts(tmp_path: Path, workers: int) -> None:
    for number in range(3):
        store(tmp_path / f"dev1/{number}", b"content", "md5")
    flip(tmp_path / "dev1/1", random.Random(1))
    extra = (PERIOD, FAST, f"--worker-processes={workers}")
    for files in (3, 0):
        with node_over(tmp_path, *extra, admin=True) as node:
            # The second node has nothing to read, and still knows.
            wait_until(partial(scrub_of, node), "the device was looked at")
            if files:
                node.wait_for_log("dev1 was read to its end")
            shown = scrub_of(node)
            text = ask(node.admin, compose("GET", "/metrics")).body.decode()
        (finding,) = shown["findings"]
        assert finding["path"] == f"{tmp_path}/dev1/1"
        assert finding["kind"] == "mismatch"
        assert shown["began_at"] <= finding["time"] <= shown["ended_at"]
        assert shown["mismatches"] == (files > 0)
        line = 'mogstored_scrub_findings_total{device="dev1",kind="mismatch"}'
        assert f"{line} {float(files > 0)}\n" in text


def scrub_of(node: Node) -> dict[str, Any]:
    status = json.loads(ask(node.admin, compose("GET", "/status.json")).body)
    shown: dict[str, Any] = status["devices"][0]["scrub"] or {}
    return shown if shown.get("findings") else {}


def test_off_by_default(tmp_path: Path) -> None:
    (tmp_path / "dev1").mkdir()
    with node_over(tmp_path) as node, Client(node.http) as client:
        client.send(put("/dev1/a", b"x"))
        assert_created(client.read_response())
    assert not (tmp_path / ".mogstored").exists()


def test_round_is_resumed_and_the_next_one_waits(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"dev1/{number}", b"x" * 10, "md5") for number in range(6)]
    for number in (1, 4):
        flip(paths[number], random.Random(number))
    with node_over(tmp_path, PERIOD, FAST) as node:
        wait_until(lambda: has_ended(node), "it was read")
        state = state_of(node)
    state |= {"position": "2", "ended_at": 0.0}
    (tmp_path / ".mogstored/scrub-dev1.json").write_text(json.dumps(state))
    with node_over(tmp_path, PERIOD, FAST) as node:
        node.wait_for_log("dev1 was read to its end")
        wrong = [found[1] for line in node.stderr_lines() if (found := WRONG.search(line))]
        assert wrong == [str(paths[4])]
        wait_until(lambda: has_ended(node), "its end is kept")
        assert state_of(node)["began_at"] == state["began_at"]
    with node_over(tmp_path, PERIOD, FAST) as node, Client(node.http) as client:
        client.send(put("/dev1/a", b"x"))
        assert_created(client.read_response())
        assert not any("read to its end" in line for line in node.stderr_lines())


SAVES_ALWAYS = "import mogstored.scrub.background as module; module._SAVE_S = 0.0"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_node_goes_on_where_it_was(tmp_path: Path, how: str) -> None:
    for number in range(3):
        store(tmp_path / f"dev1/{number}", b"content", "md5")
    flip(tmp_path / "dev1/0", random.Random(1))
    # Hours at one MiB a second.
    endless = tmp_path / "dev1/9"
    with open(endless, "wb") as file:
        file.truncate(1 << 36)
    injected = SAVES_ALWAYS if how == "kill" else ""
    with node_over(tmp_path, PERIOD, "--scrub-rate=1", checked=False, injected=injected) as node:
        node.wait_for_log("dev1/0 is not what was stored")
        if how == "stop":
            assert node.stop() == 0
        else:
            wait_until(lambda: state_of(node).get("position") == "2", "the position is kept")
            node.kill()
        state = state_of(node)
        assert state["position"] in "012"
        assert [each[1] for each in state["findings"]] == [f"{tmp_path}/dev1/0"]
    endless.unlink()
    flip(store(tmp_path / "dev1/91", b"content", "md5"), random.Random(1))
    with node_over(tmp_path, PERIOD, FAST) as node:
        node.wait_for_log("dev1 was read to its end: 5 files, 0 MiB, 2 findings")
        wrong = [found[1] for line in node.stderr_lines() if (found := WRONG.search(line))]
        assert wrong == [f"{tmp_path}/dev1/91"]


def test_disk_that_hangs_keeps_its_own_reader_only(tmp_path: Path) -> None:
    docroot = tmp_path / "docroot"
    flip(store(docroot / "dev1/a", b"content", "md5"), random.Random(1))
    with slow_disk(tmp_path / "disk") as disk:
        (docroot / "dev2").symlink_to(disk.path)
        (disk.path / "file").write_bytes(b"x")
        disk.hang("read")
        with node_over(docroot, PERIOD, FAST, checked=False) as node:
            disk.wait_until_held(1, "read")
            node.wait_for_log(r"dev1/a is not what was stored")
            node.wait_for_log("dev1 was read to its end")
            with Client(node.http) as client:
                client.send(put("/dev1/b", b"x"))
                assert_created(client.read_response())
            disk.release()
            node.wait_for_log("dev2 was read to its end: . files, 0 MiB, 0 findings")
            assert node.stop() == 0


def test_errors_of_the_disk_are_findings(tmp_path: Path) -> None:
    docroot = tmp_path / "docroot"
    docroot.mkdir()
    with slow_disk(tmp_path / "disk") as disk:
        (docroot / "dev2").symlink_to(disk.path)
        (disk.path / "file").write_bytes(b"x")
        disk.fail(errno.EIO, "read")
        with node_over(docroot, PERIOD, FAST) as node:
            node.wait_for_log(r"dev2/file cannot be read: Input/output error \(EIO\) at 0$")
            node.wait_for_log("dev2 was read to its end: . files, 0 MiB, . findings")


@pytest.mark.parametrize("workers", [0, 2], ids=["single", "workers"])
def test_errors_of_the_disk_make_it_sick(tmp_path: Path, workers: int) -> None:
    docroot = tmp_path / "docroot"
    docroot.mkdir()
    limit = ("--error-read-limit=4", f"--worker-processes={workers}")
    with slow_disk(tmp_path / "disk") as disk:
        (docroot / "dev2").symlink_to(disk.path)
        for number in range(8):
            (disk.path / str(number)).write_bytes(b"x")
        disk.fail(errno.EIO, "read")
        with node_over(docroot, PERIOD, FAST, *limit, admin=True) as node:
            node.wait_for_log("dev2/0 cannot be read: Input/output error")
            node.wait_for_log(r"dev2 is down: 4 read errors in 60 s, last Input/output")
            # The reader ends there.
            assert not any("dev2/4 cannot be read" in line for line in node.stderr_lines())
            line = (
                'mogstored_device_errors_total{device="dev2",errno="EIO",operation="read"} 4.0\n'
            )

            def is_counted() -> bool:
                return line in ask(node.admin, compose("GET", "/metrics")).body.decode()

            wait_until(is_counted, "the errors are counted as those of requests")
            disk.release()
