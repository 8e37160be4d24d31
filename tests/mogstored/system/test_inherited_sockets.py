"""Listening sockets left to the node by another process: CMOGSTORED_FD and LISTEN_FDS."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import START_S, Node
from tests.support.http import GET_ROOT, ask
from tests.support.sockets import refuses
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# Becomes the node, which finds the named descriptor as number 3 and is who it is meant for.
_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
ACTIVATED = [sys.executable, "-c", _ACTIVATE]


@contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as sock:
        yield sock


def text(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def refusal(tmp_path: Path, listed: str, pass_fds: Sequence[int] = ()) -> str:
    """Start a node that cannot start; return the only line it prints."""
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "mogstored",
            f"--docroot={tmp_path}",
            "--httplisten=127.0.0.1:0",
        ],
        env={**os.environ, "CMOGSTORED_FD": listed},
        pass_fds=pass_fds,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


# Sockets that are refused.


def test_pipe_is_refused(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        line = refusal(tmp_path, str(reader), [reader])
    finally:
        os.close(reader)
        os.close(writer)
    assert re.search("getsockname.*failed", line)


def test_closed_number_is_refused(tmp_path: Path) -> None:
    assert re.search(r"getsockname\(666\) failed", refusal(tmp_path, "666"))


@pytest.mark.parametrize("behind", [";", " ", "x", "\n", "-"])
def test_other_byte_behind_a_number_is_refused(tmp_path: Path, behind: str) -> None:
    with listening() as sock:
        line = refusal(tmp_path, f"{sock.fileno()}{behind}7", [sock.fileno()])
    assert line.endswith(f"invalid byte: {ord(behind)}")


@pytest.mark.parametrize("listed", [",", "3,", ",3", "abc"])
def test_missing_number_is_refused(tmp_path: Path, listed: str) -> None:
    assert "invalid byte: " in refusal(tmp_path, listed)


@pytest.mark.parametrize("number", [str(2**64), "9" * 30, "9" * 5000])
def test_number_beyond_all_is_refused(tmp_path: Path, number: str) -> None:
    assert "failed to parse" in refusal(tmp_path, number)


def test_number_beyond_descriptors_is_refused(tmp_path: Path) -> None:
    assert str(2**31) in refusal(tmp_path, str(2**31))


def test_two_sockets_of_one_address_are_refused(tmp_path: Path) -> None:
    with listening() as sock:
        again = os.dup(sock.fileno())
        try:
            line = refusal(tmp_path, f"{sock.fileno()},{again}", [sock.fileno(), again])
        finally:
            os.close(again)
        assert text(sock) in line
        assert str(again) in line


def test_socket_that_does_not_listen_is_refused(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert f"descriptor {sock.fileno()} is not" in refusal(
            tmp_path, str(sock.fileno()), [sock.fileno()]
        )


def test_datagram_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        assert "is not" in refusal(tmp_path, str(sock.fileno()), [sock.fileno()])


# Sockets that are used.


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_socket_of_a_configured_address_is_used(host: str) -> None:
    with listening(host) as sock, node_with(sock) as node:
        node.wait_for_log(re.escape(f"inherited {text(sock)} on descriptor {sock.fileno()}"))
        node.wait_for_log(re.escape(f"listening for http on {text(sock)}"))
        assert ask(sock.getsockname()[:2], GET_ROOT).status == 200


def node_with(sock: socket.socket, *extra: str) -> Node:
    """Return a node that is configured for the address of `sock`, and inherits it."""
    return Node(
        http=False,
        extra=["--httplisten", text(sock), *extra],
        env={"CMOGSTORED_FD": str(sock.fileno())},
        pass_fds=[sock.fileno()],
    )


def test_taken_socket_is_set_up_like_an_own_one() -> None:
    with listening() as sock:
        sock.setblocking(False)
        with node_with(sock) as node:
            assert ask(sock.getsockname(), GET_ROOT).status == 200
            for option in (
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                (socket.IPPROTO_TCP, socket.TCP_NODELAY),
            ):
                assert sock.getsockopt(*option) != 0
            # Both processes share O_NONBLOCK.
            wait_until(lambda: os.get_blocking(sock.fileno()), "the node waits in accept")
            assert node.is_running()


def test_several_sockets_are_taken() -> None:
    with listening() as http, listening() as mgmt:
        fds = [http.fileno(), mgmt.fileno()]
        with Node(
            http=False,
            extra=["--httplisten", text(http), "--mgmtlisten", text(mgmt)],
            env={"CMOGSTORED_FD": ",".join(map(str, fds))},
            pass_fds=fds,
        ) as node:
            assert node.http == http.getsockname()
            assert node.mgmt == mgmt.getsockname()
            assert ask(node.http, GET_ROOT).status == 200


def test_unwanted_socket_is_closed() -> None:
    with (
        listening() as sock,
        Node(env={"CMOGSTORED_FD": str(sock.fileno())}, pass_fds=[sock.fileno()]) as node,
    ):
        node.wait_for_log(re.escape(f"{sock.fileno()}: {text(sock)} is not wanted"))
        addr = sock.getsockname()
        sock.close()
        assert refuses(addr)
        assert ask(node.http, GET_ROOT).status == 200


def test_wildcard_matches_the_wildcard_only() -> None:
    with listening("0.0.0.0") as sock, socket.socket() as specific:
        specific.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        specific.bind(("127.0.0.1", 0))
        addr = specific.getsockname()
        specific.close()
        with Node(
            http=False,
            extra=["--httplisten", f"{addr[0]}:{addr[1]}"],
            env={"CMOGSTORED_FD": str(sock.fileno())},
            pass_fds=[sock.fileno()],
        ) as node:
            node.wait_for_log("0.0.0.0:[0-9]+ is not wanted")


def test_children_do_not_inherit_the_variables(tmp_path: Path) -> None:
    """The node's own environment in /proc is that of its start; a child's is the current one."""
    listed = tmp_path / "environment"
    mock = f"sh -c 'env > {listed}.new; mv {listed}.new {listed}; exec sleep 60'"
    with listening() as sock:
        with Node(
            http=False,
            mgmt=True,
            extra=["--httplisten", text(sock)],
            env={
                "CMOGSTORED_FD": str(sock.fileno()),
                "LISTEN_FDS": "1",
                "LISTEN_PID": "1",
                "MOG_IOSTAT_CMD": mock,
            },
            pass_fds=[sock.fileno()],
        ) as node:
            assert node.mgmt is not None
            with socket.create_connection(node.mgmt) as watcher:
                watcher.sendall(b"watch\n")
                wait_until(listed.exists, "a child was started")
            content = listed.read_text()
        assert "MOG_IOSTAT_CMD" in content
        assert "CMOGSTORED_FD" not in content
        assert "LISTEN_" not in content


# Socket activation.


def test_activated_socket_is_used() -> None:
    with (
        listening() as sock,
        Node(
            http=False,
            extra=["--httplisten", text(sock), "--mgmtlisten", "127.0.0.1:0"],
            env={"LISTEN_FDS": "1"},
            wrapper=[*ACTIVATED, str(sock.fileno())],
            pass_fds=[sock.fileno()],
        ) as node,
    ):
        node.wait_for_log(re.escape(f"inherited {text(sock)} on descriptor 3"))
        assert ask(sock.getsockname(), GET_ROOT).status == 200
        # An address without an inherited socket is bound as usual.
        assert node.mgmt is not None


def test_sockets_for_another_process_are_left_alone() -> None:
    with Node(env={"LISTEN_FDS": "7", "LISTEN_PID": str(os.getpid())}) as node:
        assert ask(node.http, GET_ROOT).status == 200
        assert not any("inherited" in line for line in node.stderr_lines())


def test_node_started_with_closed_stdio_inherits_nothing_odd() -> None:
    with Node(wrapper=["sh", "-c", 'exec "$@" <&- >&-', "sh"]) as node:
        assert ask(node.http, GET_ROOT).status == 200
        assert psutil.Process(node.pid).is_running()
