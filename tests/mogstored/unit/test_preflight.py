"""What would keep a node from starting, found without starting one."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from mogstored import preflight
from mogstored.config import Option, load
from mogstored.config.diagnostics import Diagnostics
from mogstored.config.model import ConfigError
from mogstored.config.values.addresses import Address, parse_address
from mogstored.connections.listeners import bind
from mogstored.process.upgrades.inherited import Inherited
from tests.support.status_servers import silent_port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def port() -> int:
    """A port that is free, as nothing listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found: int = listener.getsockname()[1]
    return found


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    (tmp_path / "docroot" / "dev1").mkdir(parents=True)
    return tmp_path / "docroot"


def examined(docroot: Path, **words: str) -> Diagnostics:
    given = {"docroot": str(docroot), **words}
    options = [Option(name.replace("_", "-"), word) for name, word in given.items()]
    config, _ = load(options, {"PATH": "/bin"})
    diagnostics = Diagnostics()
    preflight.examine(config, diagnostics)
    return diagnostics


def test_nothing_is_in_the_way(docroot: Path, port: int) -> None:
    free = f"127.0.0.1:{port}"
    assert examined(docroot, httplisten=free, access_log="-").lines() == []
    assert examined(docroot, mgmtlisten=free, access_log="syslog").lines() == []
    log = str(docroot / "log")
    assert examined(docroot, httplisten=free, access_log=log, adminlisten=free).errors == 1
    assert os.listdir(docroot) == ["dev1"]


def test_docroot_without_a_device_is_doubtful(docroot: Path, port: int) -> None:
    (docroot / "dev1").rename(docroot / "device1")
    found = examined(docroot, httplisten=f"127.0.0.1:{port}")
    assert found.lines() == [
        f"WARNING: docroot = {docroot}: it has no device: no directory dev1, dev2..."
    ]
    assert found.are_fatal(is_strict=True)


def test_docroot_that_is_missing_was_complained_of(docroot: Path, port: int) -> None:
    assert examined(docroot / "none", httplisten=f"127.0.0.1:{port}").lines() == []


def test_log_that_cannot_be_written_is_an_error(docroot: Path, port: int) -> None:
    log = docroot / "none" / "log"
    found = examined(docroot, httplisten=f"127.0.0.1:{port}", access_log=str(log))
    assert found.lines() == [f"access_log = {log}: No such file or directory (ENOENT)"]
    assert found.errors == 1


@pytest.mark.parametrize("key", ["httplisten", "httpgetlisten", "mgmtlisten", "adminlisten"])
def test_address_that_another_program_has(
    docroot: Path, port: int, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "describe_process", lambda pid: f"process {pid - os.getpid()}")
    with silent_port() as taken:
        words = {"httplisten": f"127.0.0.1:{port}", key: f"127.0.0.1:{taken}"}
        found = examined(docroot, **words)
        (line,) = found.lines()
        assert line == (
            f"{key} = 127.0.0.1:{taken}: Address already in use (EADDRINUSE), "
            f"by PID: {os.getpid()} (process 0)"
        )
        assert found.errors == 1
        # A node that runs already is no fault of the configuration.
        monkeypatch.setattr(preflight, "is_node", lambda _pid: True)
        found = examined(docroot, **words)
    assert [line.partition(" 127")[0] for line in found.lines()] == [f"WARNING: {key} ="]
    assert not found.are_fatal(is_strict=True)


@pytest.mark.parametrize("running", [None, 4711])
def test_address_whose_holder_is_not_seen_is_that_of_the_node_that_runs(
    docroot: Path, running: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_kind: str) -> list[object]:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    monkeypatch.setattr(preflight, "find_running", lambda _path: running)
    with silent_port() as taken:
        found = examined(docroot, httplisten=f"127.0.0.1:{taken}", pidfile="/run/x.pid")
    complaint = f"httplisten = 127.0.0.1:{taken}: Address already in use (EADDRINUSE)"
    if running is None:
        assert (found.lines(), found.errors) == ([complaint], 1)
        return
    assert found.lines() == [
        "WARNING: pidfile = /run/x.pid: already running on PID: 4711",
        f"WARNING: {complaint}",
    ]
    assert not found.are_fatal(is_strict=True)


def test_pidfile_that_cannot_be_read_is_an_error(
    docroot: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: str) -> int | None:
        raise ConfigError("pidfile = /x: a fault")

    monkeypatch.setattr(preflight, "find_running", fail)
    found = examined(docroot, httplisten=f"127.0.0.1:{port}", pidfile="/x")
    assert (found.lines(), found.errors) == (["pidfile = /x: a fault"], 1)


def test_sockets_that_cannot_be_inherited_are_an_error(
    docroot: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Inherited:
        raise ConfigError("LISTEN_FDS = x: a fault")

    monkeypatch.setattr(Inherited, "from_environment", fail)
    found = examined(docroot, httplisten=f"127.0.0.1:{port}")
    assert (found.lines(), found.errors) == (["LISTEN_FDS = x: a fault"], 1)


@pytest.mark.skipif(sys.platform != "linux", reason="the BSDs let both listen")
def test_wildcard_and_an_address_of_its_port_clash(docroot: Path, port: int) -> None:
    words = {"httplisten": f"127.0.0.1:{port}", "mgmtlisten": f"{port}"}
    found = examined(docroot, **words)
    (line,) = found.lines()
    assert line == (
        f"mgmtlisten = {port}: Address already in use (EADDRINUSE), "
        f"by httplisten = 127.0.0.1:{port}"
    )
    assert found.errors == 1
    # Where another program has both, they are not in each other's way.
    with silent_port() as taken:
        words = {"httplisten": f"127.0.0.1:{taken}", "mgmtlisten": f"{taken}"}
        assert len(examined(docroot, **words).lines()) == 2


def test_overlap_is_tried_at_a_free_port_with_the_wildcard_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that each system refuses what it refuses the node."""
    tried: list[tuple[str, int]] = []

    def note(address: Address) -> socket.socket:
        tried.append((address.host, address.port))
        return bind(address)

    monkeypatch.setattr(preflight, "bind", note)
    with suppress(OSError):
        preflight._listen_on_one_port(parse_address("127.0.0.1:9"), parse_address("9"))
    (first, (host, free)) = tried
    assert (first, host) == (("0.0.0.0", 0), "127.0.0.1")
    assert free > 9


@pytest.mark.parametrize(
    ("typed", "host", "port", "is_it"),
    [
        ("127.0.0.1:9", "127.0.0.1", 9, True),
        ("127.0.0.1:9", "127.0.0.1", 8, False),
        ("127.0.0.1:1", "127.0.0.1", 1, True),
        ("127.0.0.1:9", "127.0.0.2", 9, False),
        ("127.0.0.1:9", "0.0.0.0", 9, True),
        ("9", "127.0.0.2", 9, True),
        ("9", "127.0.0.2", 8, False),
        ("[::1]:9", "::", 9, True),
        ("[::1]:9", "0.0.0.0", 9, False),
    ],
)
def test_holder_listens_on_the_address_or_on_all(
    monkeypatch: pytest.MonkeyPatch, typed: str, host: str, port: int, is_it: bool
) -> None:
    listening = SimpleNamespace(status=psutil.CONN_LISTEN, pid=7, laddr=(host, port))
    others = [
        SimpleNamespace(status=psutil.CONN_ESTABLISHED, pid=5, laddr=("127.0.0.1", 9)),
        # Of another user.
        SimpleNamespace(status=psutil.CONN_LISTEN, pid=None, laddr=("127.0.0.1", 9)),
    ]
    found: list[Any] = [*others, listening]
    monkeypatch.setattr(psutil, "net_connections", lambda _kind: found)
    assert preflight._find_holder(parse_address(typed)) == (7 if is_it else None)
