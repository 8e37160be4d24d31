"""Signals: three stop the node, one upgrades it, the others have no effect."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import GET_ROOT, Client, compose
from tests.support.processes import shown_by_ps
from tests.support.puts import wait_until_begun
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]
OTHERS = [signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH, signal.SIGCHLD, signal.SIGPIPE]
# Becomes the node, with the signals blocked that should stop it.
_BLOCK = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(params=[[], ["--worker-processes=2"]], ids=["single", "master"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with Node(extra=request.param) as node:
        yield node


@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_node_ends_with_success(node: Node, number: signal.Signals) -> None:
    assert node.stop(number) == 0


def test_others_mean_nothing(node: Node) -> None:
    with Client(node.http) as client:
        for number in OTHERS:
            node.send_signal(number)
            assert client.request(GET_ROOT).status == 200
    assert node.is_running()
    assert not any("stopping" in line for line in node.stderr_lines())


def test_hup_says_that_nothing_has_changed(node: Node) -> None:
    node.send_signal(signal.SIGHUP)
    node.wait_for_log("HUP: unchanged: .*log_level")
    assert node.is_running()


def test_no_signal_matters_once_it_stops(node: Node) -> None:
    with Client(node.http) as client:
        client.send(compose("PUT", "/dev1/new", "Content-Length: 2") + b"1")
        wait_until_begun(node, "/dev1/new")
        node.send_signal(signal.SIGTERM)
        wait_until(lambda: "shutting down" in shown_by_ps(node.pid), "the node stops")
        for number in (*STOPS, *OTHERS, signal.SIGUSR2):
            node.send_signal(number)
        assert client.request(b"2").status == 201
    assert node.wait() == 0
    assert not any("upgrade" in line for line in node.stderr_lines())


def test_no_signal_matters_until_the_very_end(node: Node) -> None:
    """The interpreter restores the default actions some time before the process ends."""
    node.send_signal(signal.SIGTERM)
    node.wait_for_log("stopping$")
    while node.is_running():
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            node.send_signal(number)
    assert node.wait() == 0


def test_signals_that_were_blocked_at_the_start_are_heard() -> None:
    with Node(wrapper=[sys.executable, "-c", _BLOCK]) as node:
        assert node.stop(signal.SIGTERM) == 0


def test_interrupt_key_reaches_master_and_workers_at_once() -> None:
    """A terminal sends it to the whole group; no request is lost and no worker is replaced."""
    with Node(extra=["--worker-processes=2"]) as node:
        for process in [*node.process.children(), node.process]:
            process.send_signal(signal.SIGINT)
        assert node.wait() == 0
        assert not any("Traceback" in line for line in node.stderr_lines())
