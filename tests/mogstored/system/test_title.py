"""What `ps PID` shows of a node."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.forms import WORKERS
from tests.support.http import Client, compose
from tests.support.processes import shown_by_ps, workers_of
from tests.support.puts import wait_until_begun
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=[[], WORKERS], ids=["single", "workers"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with Node(extra=request.param) as node:
        yield node


def begin_upload(node: Node, client: Client) -> None:
    client.send(compose("PUT", "/dev1/new", "Content-Length: 2") + b"1")
    wait_until_begun(node, "/dev1/new")


def test_serving_node_shows_its_command_line(node: Node) -> None:
    shown = shown_by_ps(node.pid)
    assert f"-m mogstored --docroot {node.docroot} --httplisten" in shown
    assert "shutting down" not in shown


def test_name_for_the_kernel_is_the_programs(node: Node) -> None:
    """pgrep -x, pidof and killall use it; also beside a title, and in workers."""
    family = [node.process, *workers_of(node)]
    assert [each.name() for each in family] == ["mogstored"] * len(family)
    found = subprocess.run(["pgrep", "-x", "mogstored"], capture_output=True, check=True)
    assert str(node.pid) in found.stdout.decode().split()
    with Client(node.http) as client:
        begin_upload(node, client)
        node.send_signal(signal.SIGQUIT)
        wait_until(lambda: "shutting down" in shown_by_ps(node.pid), "ps shows the stop")
        assert {each.name() for each in [node.process, *workers_of(node)]} == {"mogstored"}
        assert client.request(b"2").status == 201
    assert node.wait() == 0


def test_stopping_node_shows_that_it_stops(node: Node) -> None:
    with Client(node.http) as client:
        begin_upload(node, client)
        node.send_signal(signal.SIGQUIT)
        wait_until(lambda: "shutting down" in shown_by_ps(node.pid), "ps shows the stop")
        assert f"--docroot {node.docroot}" in shown_by_ps(node.pid)
        assert client.request(b"2").status == 201
    assert node.wait() == 0


def test_plain_ps_shows_it_within_its_eighty_columns(node: Node) -> None:
    with Client(node.http) as client:
        begin_upload(node, client)
        node.send_signal(signal.SIGTERM)
        wait_until(lambda: "shutting down" in shown_by_ps(node.pid), "ps shows the stop")
        plain = subprocess.run(["ps", str(node.pid)], capture_output=True, text=True, check=True)
        assert "shutting down" in plain.stdout[:240]
        assert client.request(b"2").status == 201


def test_workers_show_their_number_and_the_command_line() -> None:
    with Node(extra=WORKERS) as node:
        shown = sorted(shown_by_ps(worker.pid) for worker in workers_of(node))
        for number in range(2):
            assert any(f"worker[{number}]" in line for line in shown)
        assert all(f"--docroot {node.docroot}" in line for line in shown)


def test_stopping_worker_shows_both() -> None:
    with Node(extra=["--worker-processes=1"]) as node, Client(node.http) as client:
        begin_upload(node, client)
        (worker,) = workers_of(node)
        worker.send_signal(signal.SIGQUIT)
        wait_until(lambda: "shutting down" in shown_by_ps(worker.pid), "ps shows the stop")
        assert "worker[0]" in shown_by_ps(worker.pid)
        assert "shutting down" not in shown_by_ps(node.pid)
        assert client.request(b"2").status == 201


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_command_line_that_is_no_text(locale: str) -> None:
    config = b"/tmp/mogstored-\xff-%d.conf" % os.getpid()
    Path(os.fsdecode(config)).write_text("maxconns = 100\n")
    try:
        env = {"LC_ALL": locale, "PYTHONUTF8": "0"}
        with Node(env=env, extra=[*WORKERS, "--config", os.fsdecode(config)]) as node:
            (worker, *_) = workers_of(node)
            wait_until(lambda: "worker[" in shown_by_ps(worker.pid), "ps shows its part")
            node.send_signal(signal.SIGTERM)
            assert node.wait() == 0
    finally:
        os.unlink(config)
