"""Clients that the rules deny are closed at once, at the listeners that the rules are for."""

from __future__ import annotations

import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import compose
from tests.support.program import run
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.daemon import Address

GET = compose("GET", "/")
SIZE = b"size /dev1/none\r\n"
HOME, OTHER = "127.0.0.1", "127.0.0.2"


def lets_in(addr: Address, request: bytes = GET, source: str = HOME) -> bool:
    """Say whether the client is answered; else it must be closed, without a byte."""
    with socket.create_connection(addr, PATIENCE_S, (source, 0)) as client:
        try:
            client.sendall(request)
            return client.recv(1) != b""
        except (BrokenPipeError, ConnectionResetError):
            return False


@contextmanager
def node_with(*rules: str, extra: tuple[str, ...] = ()) -> Iterator[Node]:
    options = [f"--{rule.replace(' ', '=')}" for rule in rules]
    with Node(httpget=True, mgmt=True, extra=[*options, *extra]) as node:
        yield node


def answers(node: Node, source: str = HOME) -> tuple[bool, bool, bool]:
    assert node.httpget is not None
    assert node.mgmt is not None
    return (
        lets_in(node.http, GET, source),
        lets_in(node.httpget, GET, source),
        lets_in(node.mgmt, SIZE, source),
    )


def _has_second_address() -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((OTHER, 0))
        except OSError:
            return False
        return True


needs_second_address = pytest.mark.skipif(
    not _has_second_address(), reason=f"this system has no address {OTHER}"
)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], (True, True, True)),
        (["deny all"], (False, False, False)),
        (["deny mgmt:all"], (True, True, False)),
        (["deny http:127.0.0.1"], (False, True, True)),
        (["allow http:127.0.0.0/8", "deny all"], (True, False, False)),
        (["deny 10.0.0.0/8", "deny ::/0"], (True, True, True)),
    ],
)
def test_each_listener_has_its_rules(rules: list[str], expected: tuple[bool, ...]) -> None:
    with node_with(*rules) as node:
        assert answers(node) == expected


@needs_second_address
def test_first_match_counts() -> None:
    with node_with("deny 127.0.0.2", "allow 127.0.0.0/8", "deny all") as node:
        assert answers(node, HOME) == (True, True, True)
        assert answers(node, OTHER) == (False, False, False)


def test_workers() -> None:
    with node_with("deny http:all", extra=("--worker-processes=2",)) as node:
        for _ in range(10):
            assert answers(node) == (False, True, True)


def test_refusals_are_logged_not_all_of_them() -> None:
    with node_with("deny mgmt:all") as node:
        assert node.mgmt is not None
        for _ in range(100):
            assert not lets_in(node.mgmt, SIZE)
        node.wait_for_log("127.0.0.1 was refused at a listener for mgmt: deny")
        lines = [line for line in node.stderr_lines() if "was refused" in line]
        assert len(lines) < 50
        # No descriptor of theirs is left.
        assert lets_in(node.http)


def test_client_of_ipv4_at_a_socket_for_both() -> None:
    with socket.socket(socket.AF_INET6) as listener:
        try:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(("::", 0))
        except OSError:
            pytest.skip("this system has no sockets for both")
        listener.listen()
        port = listener.getsockname()[1]
        for rule, expected in (("deny=127.0.0.0/8", False), ("deny=::/0", True)):
            with Node(
                http=False,
                extra=[f"--httplisten=[::]:{port}", f"--{rule}"],
                env={"CMOGSTORED_FD": str(listener.fileno())},
                pass_fds=[listener.fileno()],
            ):
                assert lets_in((HOME, port)) is expected


@pytest.mark.parametrize("workers", ["0", "2"])
def test_rules_change_while_the_node_runs(tmp_path: Path, workers: str) -> None:
    conf = tmp_path / "conf"
    conf.write_text("deny = mgmt:all\n")
    with (
        socket.create_server((HOME, 0)) as admin,
        Node(
            mgmt=True,
            httpget=True,
            extra=[
                f"--config={conf}",
                f"--worker-processes={workers}",
                f"--adminlisten=127.0.0.1:{admin.getsockname()[1]}",
            ],
            env={"CMOGSTORED_FD": str(admin.fileno())},
            pass_fds=[admin.fileno()],
        ) as node,
    ):
        page = admin.getsockname()
        assert answers(node) == (True, True, False)
        assert lets_in(page)
        conf.write_text("allow = httpget:all\ndeny = all\n")
        node.send_signal(signal.SIGHUP)
        wait_until(lambda: answers(node) == (False, True, False), "the other rules hold")
        wait_until(lambda: not lets_in(page), "the admin process has them, too")
        conf.write_text("deny = 10.0.0.1/8\n")
        node.send_signal(signal.SIGHUP)
        node.wait_for_log("host bits are set")
        assert answers(node) == (False, True, False)
        conf.write_text("usage_interval = 10\n")
        node.send_signal(signal.SIGHUP)
        wait_until(lambda: answers(node) == (True, True, True), "there are no rules")
        wait_until(lambda: lets_in(page), "the admin process has none, too")


def test_check_names_the_wrong_network(tmp_path: Path) -> None:
    check = run(["--check-config", f"--docroot={tmp_path}", "--allow=10.0.0.1/8", "--deny=all"])
    assert check.returncode == 1
    assert "--allow=10.0.0.1/8: '10.0.0.1/8': host bits are set" in check.stderr
