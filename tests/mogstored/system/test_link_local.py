"""Link-local IPv6 addresses: bound on their interface, inherited, and seen by a check."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from tests.support.daemon import Node
from tests.support.http import compose
from tests.support.program import run
from tests.support.sockets import unused_port
from tests.support.waiting import PATIENCE_S


def _address() -> str | None:
    """Return an address of this machine with its interface, such as `fe80::1%eth0`."""
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            host = each.address.partition("%")[0]
            if each.family == socket.AF_INET6 and host.startswith("fe80:"):
                return f"{host}%{name}"
    return None


ADDRESS = _address()

pytestmark = pytest.mark.skipif(ADDRESS is None, reason="this system has no link-local address")


def listen() -> socket.socket:
    assert ADDRESS is not None
    host, _, name = ADDRESS.partition("%")
    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, 0, 0, socket.if_nametoindex(name)))
    sock.listen()
    return sock


def asks(port: int) -> bytes:
    assert ADDRESS is not None
    host, _, name = ADDRESS.partition("%")
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
        client.settimeout(PATIENCE_S)
        client.connect((host, port, 0, socket.if_nametoindex(name)))
        client.sendall(compose("GET", "/"))
        return client.recv(12)


def test_is_bound_on_its_interface() -> None:
    port = unused_port()
    with Node(http=False, extra=[f"--httplisten=[{ADDRESS}]:{port}"]) as node:
        assert any(
            f"listening for http on [{ADDRESS}]:{port}" in line for line in node.stderr_lines()
        )
        assert asks(port) == b"HTTP/1.1 200"


def test_inherited_socket_is_the_one_that_is_wanted() -> None:
    with listen() as left:
        port = left.getsockname()[1]
        with Node(
            http=False,
            extra=[f"--httplisten=[{ADDRESS}]:{port}"],
            env={"CMOGSTORED_FD": str(left.fileno())},
            pass_fds=[left.fileno()],
        ) as node:
            expected = f"inherited [{ADDRESS}]:{port} on descriptor {left.fileno()}"
            assert any(expected in line for line in node.stderr_lines())
            assert asks(port) == b"HTTP/1.1 200"


@pytest.mark.parametrize("zone", ["", "%nowhere0"])
def test_check_and_start_refuse_the_same(tmp_path: Path, zone: str) -> None:
    arguments = [f"--docroot={tmp_path}", f"--httplisten=[fe80::1{zone}]:0"]
    check, start = run(["--check-config", *arguments]), run(arguments)
    assert check.returncode == start.returncode == 1
    assert start.stderr in check.stderr
    assert "interface" in start.stderr
