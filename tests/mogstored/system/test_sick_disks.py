"""Sick devices of a running node: out of use by errors or the operator, and back."""

from __future__ import annotations

import errno
import json
import select
import signal
import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.forms import FORMS, SMALL_FORMS
from tests.support.http import Client, ask, compose
from tests.support.program import run
from tests.support.puts import put
from tests.support.scrapes import status
from tests.support.sidechannel import manage
from tests.support.slow_disk import node_with_slow_disk, slow_disk
from tests.support.upgrades import generations
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.daemon import Address

LIMITS = ["--error-write-limit=5", "--error-read-limit=5", "--usage-interval=1"]


def status_of(node: Node, method: str, target: str) -> int:
    if method == "PUT":
        return ask(node.http, put(target, b"new")).status
    return ask(node.http, compose(method, target)).status


def usage(node: Node) -> dict[str, str]:
    answer = ask(node.http, compose("GET", "/dev2/usage"))
    lines = answer.body.decode().splitlines()
    return dict(line.split(": ", 1) for line in lines) if answer.status == 200 else {}


def order(node: Node, *arguments: str) -> str:
    done = run(["device", str(node.docroot), *arguments])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def await_status(node: Node, expected: int) -> None:
    """Wait until PUTs to dev2 are answered so, by all workers."""

    def all_agree() -> bool:
        return {status_of(node, "PUT", "/dev2/x") for _ in range(8)} == {expected}

    wait_until(all_agree, f"PUT is answered with {expected}")


@FORMS
def test_write_errors_end_writes_and_the_operator_s_check_brings_them_back(
    tmp_path: Path, extra: Sequence[str]
) -> None:
    extra = [*LIMITS, *extra]
    with node_with_slow_disk(tmp_path / "disk", mgmt=True, admin=True, extra=extra) as (
        node,
        disk,
    ):
        node.write("/dev2/file", b"content")
        disk.fail(errno.EIO, "create", "write")
        codes = []
        for number in range(40):
            codes.append(status_of(node, "PUT", f"/dev2/new{number}"))
            if codes[-1] == 507:
                break
        assert codes.count(500) >= 5
        assert codes[-1] == 507
        line = node.wait_for_log(
            "dev2 gets no new files: 5 write errors in 60 s, last Input/output"
        )
        assert line.endswith("PUT is answered with 507; the next check is in 60 s")
        await_status(node, 507)
        # As before.
        assert ask(node.http, compose("GET", "/dev2/file")).body == b"content"
        assert status_of(node, "PUT", "/dev1/new") == 201
        wait_until(lambda: usage(node).get("available") == "0", "the record has no room")
        assert usage(node)["used"] == usage(node)["total"]
        states = {each["device"]: each["state"] for each in status(node.admin)["devices"]}
        assert states == {"dev1": "ok", "dev2": "no-writes"}
        assert "no-writes" in order(node, "dev2")
        # A check that fails.
        assert "checks it now" in order(node, "dev2", "--check")
        node.wait_for_log(r"dev2: the check failed at \w+: Input/output error \(EIO\)")
        await_status(node, 507)
        disk.release()
        order(node, "dev2", "--check")
        node.wait_for_log("dev2 is used again: a check succeeded")
        await_status(node, 201)
        wait_until(lambda: usage(node).get("available") != "0", "the record has room")
        assert status_of(node, "DELETE", "/dev2/file") == 204
        left = [each.name for each in (node.docroot / "dev2").iterdir() if "check" in each.name]
        assert left == []


def test_read_errors_take_a_device_down_and_its_disk_is_not_touched(tmp_path: Path) -> None:
    with node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=LIMITS) as (node, disk):
        for number in range(6):
            node.write(f"/dev2/{number}", b"content")
        disk.fail(errno.EIO, "open", "read")
        # One file, however often, is no sick disk.
        for _ in range(10):
            assert status_of(node, "GET", "/dev2/0") == 500
        disk.release()
        assert status_of(node, "GET", "/dev2/0") == 200
        disk.fail(errno.EIO, "open", "read")
        for number in range(6):
            status_of(node, "GET", f"/dev2/{number}")
        node.wait_for_log("dev2 is down: 5 read errors in 60 s")
        disk.release()
        # Now every call would hang.
        disk.hang()
        with Client(node.http) as client:
            for request in (
                compose("GET", "/dev2/0"),
                compose("HEAD", "/dev2/0"),
                compose("DELETE", "/dev2/0"),
                compose("GET", "/dev2/usage"),
            ):
                is_head = request.startswith(b"HEAD")
                assert client.request(request, head=is_head).status == 500
        assert status_of(node, "PUT", "/dev2/x") == 500
        with manage(node) as client:
            assert client.ask(b"size /dev2/0") == b"/dev2/0 -1\r\n"
            assert client.ask(b"MD5 /dev2/0") == b"/dev2/0 MD5=-1\r\n"
        assert sum(disk.held().values()) == 0
        disk.release()
        order(node, "dev2", "--ok")
        wait_until(lambda: status_of(node, "GET", "/dev2/0") == 200, "dev2 is read again")


def test_operator_takes_a_disk_that_hangs_out_of_use(tmp_path: Path) -> None:
    with node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=LIMITS) as (node, disk):
        node.write("/dev2/file", b"content")
        disk.hang("open")
        with Client(node.http) as waiting:
            waiting.send(compose("GET", "/dev2/file"))
            disk.wait_until_held(1, "open")
            order(node, "dev2", "--down")
            node.wait_for_log("dev2 is down: by the operator; .*; the operator decides")
            assert status_of(node, "GET", "/dev2/file") == 500
            disk.release()
            # What had begun goes on.
            assert waiting.read_response().status == 200


def outcome(client: Client) -> str:
    """Return the status of the answer, or that there is none."""
    client.sock.settimeout(PATIENCE_S)
    if not client.sock.recv(1, socket.MSG_PEEK):
        return "closed"
    return str(client.read_response().status)


@pytest.mark.parametrize(
    ("decision", "answers"), [("--readonly", {"201", "507"}), ("--down", {"201", "closed"})]
)
def test_requests_that_wait_for_a_disk_that_hangs(
    tmp_path: Path, decision: str, answers: set[str]
) -> None:
    extra = [*LIMITS, "--aio-threads=2"]
    with (
        node_with_slow_disk(tmp_path / "disk", mgmt=True, extra=extra) as (node, disk),
        ExitStack() as stack,
    ):
        disk.hang("create")
        clients = [stack.enter_context(Client(node.http)) for _ in range(12)]
        for number, client in enumerate(clients):
            client.send(put(f"/dev2/new{number}", b"x"))
        disk.wait_until_held(1, "create")
        order(node, "dev2", decision)
        node.wait_for_log("dev2 .*: by the operator")
        assert status_of(node, "PUT", "/dev2/x") in (500, 507)
        if decision == "--down":
            # They are not left waiting, though the disk still hangs.
            sockets = [client.sock for client in clients]
            wait_until(lambda: bool(select.select(sockets, [], [], 0)[0]), "some are closed")
        disk.release()
        # A request may also come after the decision.
        assert {outcome(client) for client in clients} - {"500"} == answers
        assert node.is_running()


@FORMS
def test_state_survives_a_restart_and_a_reload(tmp_path: Path, extra: Sequence[str]) -> None:
    docroot = tmp_path / "docroot"
    for name in ("dev1", "dev2"):
        (docroot / name).mkdir(parents=True)
    options = ["--docroot", str(docroot), *LIMITS, *extra]
    start = partial(Node, devices=(), names_docroot=False, mgmt=True)
    with start(extra=options) as node:
        done = run(["device", str(docroot), "dev2", "--readonly"])
        assert done.returncode == 0
        node.wait_for_log("dev2 gets no new files: by the operator")
        wait_until(lambda: status_of(node, "PUT", "/dev2/x") == 507, "PUT is refused")
    with start(extra=options) as node:
        assert {status_of(node, "PUT", "/dev2/x") for _ in range(8)} == {507}
        assert status_of(node, "PUT", "/dev1/x") == 201
        node.send_signal(signal.SIGHUP)
        node.wait_for_log("HUP: unchanged")
        assert status_of(node, "PUT", "/dev2/x") == 507
        run(["device", str(docroot), "dev2", "--ok"])
        wait_until(
            lambda: {status_of(node, "PUT", "/dev2/x") for _ in range(8)} == {201},
            "PUT is accepted",
        )
    found = json.loads((docroot / ".mogstored" / "devices.json").read_bytes())
    assert found["devices"]["dev2"]["state"] == "ok"


@SMALL_FORMS
def test_sick_disk_stays_out_of_use_through_an_upgrade(
    tmp_path: Path, extra: Sequence[str]
) -> None:
    def states(addr: Address) -> set[int]:
        return {ask(addr, put("/dev9/x", b"new")).status for _ in range(16)}

    with (
        slow_disk(tmp_path / "disk") as disk,
        generations(extra=[*LIMITS, "--mgmtlisten=127.0.0.1:0", *extra]) as old,
    ):
        (old.node.docroot / "dev9").symlink_to(disk.path)
        wait_until(lambda: states(old.addr) == {201}, "dev9 is used")
        disk.fail(errno.EIO, "create", "write")
        for number in range(5):
            ask(old.addr, put(f"/dev9/{number}", b"new"))
        old.node.wait_for_log("dev9 gets no new files: 5 write errors")
        disk.release()
        record = old.node.docroot / ".mogstored" / "devices.json"
        before = json.loads(record.read_bytes())["devices"]["dev9"]
        assert before["state"] == "no-writes"
        # From its first answer on; both generations serve now.
        new = old.upgrade()
        assert states(old.addr) == {507}
        old.retire(new)
        assert states(old.addr) == {507}
        assert json.loads(record.read_bytes())["devices"]["dev9"] == before
        # Both follow the operator.
        new = old.upgrade()
        order(old.node, "dev9", "--ok")
        wait_until(lambda: states(old.addr) == {201}, "dev9 is used by both")
        old.retire(new)
        assert states(old.addr) == {201}


@pytest.mark.parametrize(
    "arguments",
    [["dev9", "--ok"], ["x", "--ok"], ["--ok"], ["dev1", "--ok", "--down"], ["dev1", "--frob"]],
)
def test_wrong_arguments_of_device(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "dev1").mkdir()
    done = run(["device", str(tmp_path), *arguments])
    assert (done.returncode, done.stdout) == (2, "")
    assert not (tmp_path / ".mogstored").exists()


def test_state_that_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "dev1").mkdir()
    (tmp_path / ".mogstored").write_text("in the way")
    done = run(["device", str(tmp_path), "dev1", "--down"])
    assert done.returncode == 1
    assert "cannot write" in done.stderr


def test_states_are_shown_without_a_node(tmp_path: Path) -> None:
    (tmp_path / "dev1").mkdir()
    (tmp_path / "dev2").mkdir()
    run(["device", str(tmp_path), "dev2", "--down"])
    lines = run(["device", str(tmp_path)]).stdout.splitlines()
    assert lines[1].split() == ["dev1", "ok"]
    assert lines[2].startswith("dev2        down")
    assert lines[2].endswith("by the operator")
