"""Several services in one node: each has its own docroot, devices and listeners."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.daemon import Address, Node
from tests.support.http import Client
from tests.support.program import run
from tests.support.sidechannel import Manager
from tests.support.waiting import PATIENCE_S

ANY = "127.0.0.1:0"


@dataclass
class Site:
    """One of the services: its docroot, and where it serves."""

    docroot: Path
    http: Address
    mgmt: Address

    def status(self, method: str, target: str, content: bytes = b"") -> int:
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
        with Client(self.http) as client:
            return client.request(head.encode() + content).status

    def ask(self, line: bytes) -> bytes:
        with Manager(self.mgmt) as manager:
            return manager.ask(line)


@dataclass
class Pair:
    """A node that serves dev1 of `a` and dev2 of `b`."""

    node: Node
    a: Site
    b: Site


def write_config(path: Path, name: str, device: str, *lines: str) -> Path:
    (path / name / device).mkdir(parents=True)
    file = path / f"{name}.conf"
    file.write_text("\n".join([f"docroot = {path / name}", *lines]))
    return file


@pytest.fixture(params=[0, 1], ids=["single", "worker"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    listeners = (f"httplisten = {ANY}", f"mgmtlisten = {ANY}")
    files = [
        write_config(tmp_path, "a", "dev1", *listeners),
        write_config(tmp_path, "b", "dev2", *listeners),
    ]
    extra = ["--multi", *(f"--config={file}" for file in files)]
    extra.append(f"--worker-processes={request.param}")
    with Node(names_docroot=False, http=False, extra=extra) as node:
        http, mgmt = node.addresses("http"), node.addresses("mgmt")
        yield Pair(
            node,
            Site(tmp_path / "a", http[0], mgmt[0]),
            Site(tmp_path / "b", http[1], mgmt[1]),
        )


def test_files_of_one_are_unknown_to_the_other(pair: Pair) -> None:
    assert pair.a.status("PUT", "/dev1/x", b"x") == 201
    assert (pair.a.docroot / "dev1" / "x").read_bytes() == b"x"
    assert pair.a.status("GET", "/dev1/x") == 200
    assert pair.b.status("GET", "/dev1/x") == 404
    assert pair.a.ask(b"size /dev1/x") == b"/dev1/x 1\r\n"
    assert pair.b.ask(b"size /dev1/x") == b"/dev1/x -1\r\n"


def test_devices_of_one_are_unknown_to_the_other(pair: Pair) -> None:
    assert pair.a.status("GET", "/dev1/usage") == 200
    assert pair.b.status("GET", "/dev2/usage") == 200
    assert pair.a.status("GET", "/dev2/usage") == 404
    assert pair.b.status("GET", "/dev1/usage") == 404
    assert pair.a.ask(b"MD5 /dev2/usage") == b"/dev2/usage MD5=-1\r\n"
    assert pair.a.ask(b"MD5 /dev1/usage") != b"/dev1/usage MD5=-1\r\n"


def test_a_watcher_sees_the_devices_of_its_service(pair: Pair) -> None:
    for site, device in ((pair.a, b"1"), (pair.b, b"2")):
        with Manager(site.mgmt) as manager:
            manager.send(b"watch\r\n")
            block = manager.read_block()
        assert [line.split(b"\t")[0] for line in block] == [device]


@pytest.mark.parametrize("which", ["a", "b"])
def test_shutdown_of_any_service_stops_all(pair: Pair, which: str) -> None:
    site: Site = getattr(pair, which)
    with Manager(site.mgmt) as manager:
        manager.send(b"shutdown\r\n")
        assert pair.node.wait() == 0
    for addr in (pair.a.http, pair.a.mgmt, pair.b.http, pair.b.mgmt):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(addr, PATIENCE_S)


def test_a_signal_stops_all(pair: Pair) -> None:
    assert pair.node.stop(signal.SIGTERM) == 0


def test_server_none_of_one_leaves_the_other_alone(tmp_path: Path) -> None:
    files = [
        write_config(tmp_path, "a", "dev1", f"httplisten = {ANY}", f"mgmtlisten = {ANY}"),
        write_config(
            tmp_path, "b", "dev2", "server = none", f"httplisten = {ANY}", f"mgmtlisten = {ANY}"
        ),
    ]
    extra = ["--multi", *(f"--config={file}" for file in files)]
    with Node(names_docroot=False, http=False, extra=extra) as node:
        assert len(node.addresses("http")) == 1
        assert len(node.addresses("mgmt")) == 2


def test_a_service_that_cannot_listen_ends_the_start_of_all(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addr = f"127.0.0.1:{taken.getsockname()[1]}"
        files = [
            write_config(tmp_path, "a", "dev1", f"mgmtlisten = {ANY}", f"pidfile = {tmp_path}/p"),
            write_config(tmp_path, "b", "dev2", f"httplisten = {addr}"),
        ]
        ended = run(["--multi", *(f"--config={file}" for file in files)])
    assert ended.returncode == 1
    assert addr in ended.stderr
    assert not (tmp_path / "p").exists()
    assert list((tmp_path / "a" / "dev1").iterdir()) == []


def test_without_multi_nothing_starts(tmp_path: Path) -> None:
    files = [
        write_config(tmp_path, "a", "dev1", f"mgmtlisten = {ANY}"),
        write_config(tmp_path, "b", "dev2", f"mgmtlisten = {ANY}"),
    ]
    ended = run([f"--config={file}" for file in files])
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "--multi" in line
