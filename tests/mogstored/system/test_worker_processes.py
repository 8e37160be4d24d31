"""A node with worker processes: the end of one does not affect the others."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from mogstored.process.master import WorkerSlot
from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.processes import (
    clients_of_all,
    is_gone,
    one_for_each_worker,
    owner_of,
    pids_of,
    shown_by_ps,
    suspend,
    wait_for_the_end_of,
    workers_of,
)
from tests.support.sidechannel import Manager, manage
from tests.support.sockets import refuses
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

COUNT = 4
SIZE = 16 * 1024 * 1024
REPLACED_S = 1.0
# Prints reports, and makes a file named by its process number.
MOCK = "touch {folder}/$$; while :; do echo sda 1.25; echo; sleep 0.05; done"


def workers(count: int) -> list[str]:
    return ["--worker-processes", str(count)]


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(mgmt=True, extra=workers(COUNT)) as node:
        yield node


def wait_until_settled(node: Node) -> None:
    """Wait until all workers are old enough to be replaced without a pause."""
    young = [worker.create_time() for worker in workers_of(node)]
    wait_until(lambda: time.time() - max(young) > 1.1, "all workers are a second old")


def wait_for_replacement(node: Node, before: set[int]) -> None:
    def replaced() -> bool:
        now = pids_of(node)
        return len(now) == len(before) and now != before

    wait_until(replaced, "another worker has taken the place")


def test_master_serves_nothing_and_workers_all_do(node: Node) -> None:
    assert len(workers_of(node)) == COUNT
    with clients_of_all(node) as clients:
        assert clients.keys() == pids_of(node)
    assert node.process.num_threads() == 1


def test_worker_is_replaced_without_a_pause(node: Node) -> None:
    def seconds_to_replace() -> float:
        wait_until_settled(node)
        before = pids_of(node)
        workers_of(node)[0].kill()
        killed_at = time.time()
        wait_for_replacement(node, before)
        (successor,) = pids_of(node) - before
        return psutil.Process(successor).create_time() - killed_at

    # Several attempts, for a machine that is busy.
    assert any(seconds_to_replace() < REPLACED_S for _ in range(5))


def test_others_go_on_when_one_is_killed(node: Node) -> None:
    before = pids_of(node)
    with clients_of_all(node) as clients:
        victim, client_of_victim = clients.popitem()
        psutil.Process(victim).kill()
        wait_for_replacement(node, before)
        assert client_of_victim.read_to_eof() == b""
        for client in clients.values():
            assert client.request(compose("GET", "/")).status == 200
        with Client(node.http) as newcomer:
            assert newcomer.request(compose("GET", "/")).status == 200
    node.wait_for_log(rf"worker\[\d\] PID:{victim} died: it was killed by SIGKILL")
    line = node.wait_for_log(rf"replaces PID:{victim}, which was killed by SIGKILL$")
    assert re.findall(r"worker\[\d\] PID:(\d+) replaces", line)[0] in map(str, pids_of(node))


def test_replacement_has_the_number_of_the_dead_one(node: Node) -> None:
    wait_until_settled(node)
    before = pids_of(node)
    victim = workers_of(node)[-1]
    number = number_of(victim.pid)
    victim.kill()
    wait_for_replacement(node, before)
    (newcomer,) = pids_of(node) - before
    wait_until(lambda: "worker" in shown_by_ps(newcomer), "the replacement has a title")
    assert number_of(newcomer) == number


# The pool's poller, which only workers open, cannot be had.
WORKERS_CANNOT_START = """
import sys
from mogstored import cli, server

def open_poller():
    raise OSError("of another world")

server.open_poller = open_poller
sys.argv[0] = "mogstored"
sys.exit(cli.main())
"""


@pytest.mark.parametrize("count", [1, 3])
def test_node_whose_workers_cannot_start_says_so_and_ends(tmp_path: Path, count: int) -> None:
    (tmp_path / "dev1").mkdir()
    arguments = [
        "--docroot",
        str(tmp_path),
        "--mgmtlisten=127.0.0.1:0",
        "--httplisten=127.0.0.1:0",
    ]
    arguments += ["--pidfile", str(tmp_path / "pid"), *workers(count)]
    ended = subprocess.run(
        [sys.executable, "-P", "-c", WORKERS_CANNOT_START, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 1
    assert re.search(r"^mogstored: worker\[0\] cannot start: it exited with", ended.stderr, re.M)
    assert "of another world" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["dev1"]


def test_pauses_grow_while_a_worker_cannot_start() -> None:
    counts = (*range(8), 2000)
    pauses = [WorkerSlot(0, failures=failures).min_interval_s() for failures in counts]
    assert pauses == [1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_worker_that_dies_young_is_replaced_a_second_after_its_start() -> None:
    with Node(extra=workers(1)) as node:
        (worker,) = workers_of(node)
        began = worker.create_time()
        worker.kill()
        wait_for_replacement(node, {worker.pid})
        # The system counts in hundredths.
        assert workers_of(node)[0].create_time() - began > 0.95


def test_suspended_worker_is_handed_no_connection(node: Node) -> None:
    """It sleeps in accept like the others, but the kernel does not wake it."""
    suspended = workers_of(node)[1]
    suspend(suspended)
    try:
        for _ in range(5 * COUNT):
            with Client(node.http) as client:
                assert client.request(compose("GET", "/")).status == 200
    finally:
        suspended.resume()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_worker_that_is_asked_to_stop_finishes_and_is_replaced(
    node: Node, number: signal.Signals
) -> None:
    node.write("/dev1/large", b"x" * SIZE)
    before = pids_of(node)
    with Client(node.http) as client:
        client.send(compose("GET", "/dev1/large"))
        client.read_head()
        worker = owner_of(client, workers_of(node))
        worker.send_signal(number)
        wait_until(lambda: "shutting down" in shown_by_ps(worker.pid), "it has begun to stop")
        with clients_of_others(node, worker.pid) as other:
            assert other.request(compose("GET", "/")).status == 200
        assert len(client.read_exactly(SIZE)) == SIZE
        client.read_eof()
    wait_for_replacement(node, before)
    node.wait_for_log(rf"PID:{worker.pid} died: it exited with status 0")


def clients_of_others(node: Node, pid: int) -> Client:
    """Connect to a node of which one worker has stopped accepting."""
    client = Client(node.http)
    assert client.request(compose("GET", "/")).status == 200
    assert owner_of(client, workers_of(node)).pid != pid
    return client


@pytest.mark.parametrize(
    "number",
    [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGWINCH, signal.SIGPIPE],
)
def test_other_signals_mean_nothing_to_workers(node: Node, number: signal.Signals) -> None:
    with clients_of_all(node) as clients:
        for pid, client in clients.items():
            psutil.Process(pid).send_signal(number)
            assert client.request(compose("GET", "/")).status == 200
        assert pids_of(node) == clients.keys()
    assert not any("upgrade" in line for line in node.stderr_lines())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop_of_the_master_leaves_no_process(node: Node, number: signal.Signals) -> None:
    family = node.process.children(recursive=True)
    assert node.stop(number) == 0
    assert [process for process in family if not is_gone(process.pid)] == []
    assert refuses(node.http)


def test_stop_of_the_master_waits_for_what_workers_have_begun(node: Node) -> None:
    node.write("/dev1/large", b"x" * SIZE)
    with Client(node.http) as client:
        client.send(compose("GET", "/dev1/large"))
        client.read_head()
        node.begin_stop(signal.SIGTERM)
        wait_until(lambda: len(workers_of(node)) == 1, "workers without clients have ended")
        assert len(client.read_exactly(SIZE)) == SIZE
        client.read_eof()
    assert node.wait() == 0


def test_shutdown_by_the_sidechannel_stops_the_whole_node(node: Node) -> None:
    pids = pids_of(node)
    with manage(node) as manager:
        manager.send(b"shutdown\r\n")
        manager.read_eof()
    assert node.wait() == 0
    # Its port may be another's by now.
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


def test_workers_stop_when_the_master_is_killed() -> None:
    with Node(extra=workers(COUNT), checked=False) as node:
        node.write("/dev1/large", b"x" * SIZE)
        orphans = workers_of(node)
        with Client(node.http) as client:
            client.send(compose("GET", "/dev1/large"))
            client.read_head()
            node.begin_stop(signal.SIGKILL)
            # Workers do not outlive their master, but finish the requests they have begun.
            assert len(client.read_exactly(SIZE)) == SIZE
            client.read_eof()
        wait_for_the_end_of(orphans)


def test_usage_files_are_there_when_the_node_is_ready(node: Node) -> None:
    digest = re.compile(rb"/dev1/usage MD5=[0-9a-f]{32}\r\n")
    assert b"\nuse: " in node.path("/dev1/usage").read_bytes()
    for _ in range(COUNT):
        with manage(node) as manager:
            assert digest.fullmatch(manager.ask(b"MD5 /dev1/usage"))


def test_only_the_first_worker_writes_usage_files() -> None:
    with (
        Node(mgmt=True, extra=workers(2), env={"MOG_DISK_USAGE_INTERVAL": "1"}) as node,
        clients_of_all(node) as clients,
    ):
        first, second = sorted(workers_of(node), key=lambda each: number_of(each.pid))
        usage = node.path("/dev1/usage")
        suspend(first)
        usage.unlink()
        # Without the file the answer comes from the memory of the worker that gives it.
        began = time_of_usage(clients[second.pid])
        wait_until(
            lambda: time_of_usage(clients[second.pid]) >= began + 2,
            "the second worker has looked at the device",
        )
        assert not usage.exists()
        first.resume()
        wait_until(usage.exists, "the first worker writes the file")


def number_of(pid: int) -> int:
    """Return the number under which a worker is shown."""
    found = re.search(r"worker\[(\d)\]", shown_by_ps(pid))
    assert found is not None
    return int(found[1])


def time_of_usage(client: Client) -> int:
    answer = client.request(compose("GET", "/dev1/usage"))
    found = re.search(rb"^time: (\d+)$", answer.body, re.MULTILINE)
    assert found is not None, answer
    return int(found[1])


def test_one_iostat_feeds_the_watchers_of_all_workers(tmp_path: Path) -> None:
    env = {"MOG_IOSTAT_CMD": f"sh -c '{MOCK.format(folder=tmp_path)}'"}
    with Node(mgmt=True, extra=workers(3), env=env) as node, watchers_of_all(node) as watchers:
        read_blocks(watchers.values())
        assert len(list(tmp_path.iterdir())) == 1


def test_watchers_of_others_go_on_when_the_measuring_worker_is_killed(tmp_path: Path) -> None:
    env = {"MOG_IOSTAT_CMD": f"sh -c '{MOCK.format(folder=tmp_path)}'"}
    with Node(mgmt=True, extra=workers(2), env=env) as node, watchers_of_all(node) as watchers:
        read_blocks(watchers.values())
        wait_until_settled(node)
        before = pids_of(node)
        (first,) = [each for each in workers_of(node) if number_of(each.pid) == 0]
        first.kill()
        wait_for_replacement(node, before)
        del watchers[first.pid]
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2, "another iostat runs")
        read_blocks(watchers.values(), 40)


@contextmanager
def watchers_of_all(node: Node) -> Iterator[dict[int, Manager]]:
    """Yield a watcher of each worker, by the worker's process number."""
    with ExitStack() as stack:

        def connect() -> Manager:
            manager = stack.enter_context(manage(node))
            manager.send(b"watch\n")
            manager.read_block()
            return manager

        yield one_for_each_worker(node, connect)


def read_blocks(watchers: Iterable[Manager], count: int = 2) -> None:
    for manager in watchers:
        for _ in range(count):
            assert [line.partition(b"\t")[0] for line in manager.read_block()] == [b"1", b"2"]
