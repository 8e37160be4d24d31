"""A refused fork is tried again; a worker that died leaves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.daemon import Node
from tests.support.forms import WORKERS
from tests.support.http import ask, compose
from tests.support.injected import refused_fork
from tests.support.processes import is_gone, pids_of, workers_of
from tests.support.sockets import descriptor_count
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


FAILING_FLUSH = """
import mogstored.process.master as master

def flush_before_exit(_writers):
    raise MemoryError

master.flush_before_exit = flush_before_exit
"""


FAILING_WORDS = """
import mogstored.process.master as master

plain = master.describe_exit

def describe_exit(code):
    master.describe_exit = plain
    raise MemoryError

master.describe_exit = describe_exit
"""


def kill_one(node: Node) -> None:
    """Kill a worker, and return once its replacement serves."""
    before = pids_of(node)
    workers_of(node)[0].kill()
    wait_until(
        lambda: len(pids_of(node) - before) == 1 and len(pids_of(node)) == 2, "a new worker"
    )
    wait_until(lambda: ask(node.http, compose("GET", "/")).status == 200, "it serves")


def test_first_worker_is_started_though_the_system_refuses_it_once(tmp_path: Path) -> None:
    flag = tmp_path / "refuse"
    flag.touch()
    with Node(extra=WORKERS, injected=refused_fork(flag)) as node:
        assert not flag.exists()
        assert len(pids_of(node)) == 2
        node.wait_for_log(r"cannot start worker\[0\]: Resource temporarily unavailable")


def test_worker_is_replaced_though_the_system_refuses_it_once(tmp_path: Path) -> None:
    flag = tmp_path / "refuse"
    with Node(extra=WORKERS, injected=refused_fork(flag)) as node:
        before = descriptor_count(node.pid)
        flag.touch()
        kill_one(node)
        assert not flag.exists()
        node.wait_for_log(r"cannot start worker\[[01]\]: Resource temporarily unavailable")
        assert descriptor_count(node.pid) == before


def test_master_keeps_nothing_of_workers_that_were_replaced() -> None:
    with Node(extra=WORKERS) as node:
        before = descriptor_count(node.pid)
        for _ in range(3):
            kill_one(node)
        wait_until(lambda: descriptor_count(node.pid) == before, "as many as before")


def test_worker_whose_last_flush_fails_ends_all_the_same() -> None:
    with Node(extra=WORKERS, injected=FAILING_FLUSH) as node:
        worker = workers_of(node)[0]
        worker.terminate()
        wait_until(lambda: is_gone(worker.pid), "it has ended")
        node.wait_for_log(rf"worker\[[01]\] PID:{worker.pid} died: it exited with status 0")


def test_worker_is_replaced_though_its_end_cannot_be_logged() -> None:
    with Node(extra=WORKERS, injected=FAILING_WORDS) as node:
        before = descriptor_count(node.pid)
        kill_one(node)
        node.wait_for_log("the main thread failed; it goes on: too little memory")
        assert descriptor_count(node.pid) == before
