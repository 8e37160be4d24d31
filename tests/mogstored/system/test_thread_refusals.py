"""A node that is refused each of its threads in turn goes on, or says why it cannot."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.mogstored.thread_refusals import PARTS, Trial
from tests.support.daemon import Node
from tests.support.http import Client, ask, compose
from tests.support.refusals import Refusals
from tests.support.slow_disk import node_with_slow_disk
from tests.support.sockets import thread_count
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


# Dozens of nodes one after the other.
@pytest.mark.timeout(240)
@pytest.mark.parametrize("part", PARTS)
def test_every_thread_may_be_refused(tmp_path: Path, part: str) -> None:
    trial = Trial(tmp_path)
    points = [point for point in trial.points() if point.part == part]
    assert points
    for point in points:
        assert trial.outcome(point)


def test_worker_process_that_is_refused_a_thread_ends_the_start_of_its_node(
    tmp_path: Path,
) -> None:
    points = [point for point in Trial(tmp_path).points() if point.part == "start"]
    trial = Trial(tmp_path, "--worker-processes=1")
    for point in (points[0], points[-1]):
        assert "status 1" in trial.outcome(point)


def test_threads_that_hang_are_replaced_as_soon_as_the_system_has_some(tmp_path: Path) -> None:
    refusals = Refusals(tmp_path)
    few, environment = ["--aio-threads=4"], refusals.environment
    with node_with_slow_disk(tmp_path / "disk", extra=few, env=environment) as (node, disk):
        for device in ("dev1", "dev2"):
            node.write(f"/{device}/file", b"content")
        refusals.refuse_from(0)
        disk.hang()
        before = thread_count(node.pid)
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(node.http)) for _ in range(3)]
            for client in clients:
                client.send(compose("GET", "/dev2/file"))
            node.wait_for_log("no thread for worker-")
            assert ask(node.http, compose("GET", "/dev1/file")).body == b"content"
            assert thread_count(node.pid) <= before
            refusals.lift()
            wait_until(lambda: thread_count(node.pid) >= before + 3, "three have been replaced")
            disk.release()
            assert [client.read_response().status for client in clients] == [200] * 3


def test_time_outs_of_a_reload_apply_as_soon_as_the_system_has_a_thread(tmp_path: Path) -> None:
    file, refusals = tmp_path / "node.conf", Refusals(tmp_path)
    file.write_text("log_level = info\n", encoding="ascii")
    with Node(extra=["--config", str(file)], env=refusals.environment) as node:
        refusals.refuse_from(0)
        file.write_text("keepalive_timeout = 1\n", encoding="ascii")
        node.send_signal(signal.SIGHUP)
        node.wait_for_log("no thread for time-outs")
        refusals.lift()
        with Client(node.http) as client:
            client.request(compose("GET", "/"))
            client.read_eof()
