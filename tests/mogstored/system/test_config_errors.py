"""Starts that fail: the status, one line with the reason, and nothing left behind."""

from __future__ import annotations

import select
import socket
from pathlib import Path

import pytest

import mogstored
from tests.support.daemon import Node
from tests.support.program import run
from tests.support.sockets import unused_port


def refusal(docroot: Path, *arguments: str, status: int = 1, lines: int = 1) -> list[str]:
    """Start a node with `arguments` that it must refuse; return its message."""
    pidfile = docroot.parent / "pid"
    given = [f"--docroot={docroot}", f"--pidfile={pidfile}", "--mgmtlisten=127.0.0.1:0"]
    ended = run([*given, *arguments], cwd=docroot.parent)
    assert ended.returncode == status, ended.stderr
    assert ended.stdout == ""
    assert not pidfile.exists()
    assert list((docroot / "dev1").iterdir()) == []
    said = ended.stderr.splitlines()
    assert all(line.startswith("mogstored: ") for line in said), ended.stderr
    assert len(said) == lines, ended.stderr
    return [line.removeprefix("mogstored: ") for line in said]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--nonsense"], "--nonsense"),
        (["--maxconns"], "--maxconns"),
        (["stray"], "stray"),
        (["-config", "x"], "-config"),
    ],
)
def test_command_line_that_cannot_be_parsed(
    docroot: Path, arguments: list[str], named: str
) -> None:
    (line,) = refusal(docroot, *arguments, status=64)
    assert named in line
    assert "--help" in line


@pytest.mark.parametrize(
    ("argument", "facts"),
    [
        ("--maxconns=abc", ["--maxconns=abc", "'a'"]),
        (f"--maxconns={2**64}", ["--maxconns", str(2**64)]),
        ("--worker-processes=1x", ["--worker-processes=1x", "'x'"]),
        ("--worker-processes=4294967296", ["--worker-processes", "4294967296"]),
        ("--httplisten=666.0.0.1:7500", ["--httplisten=666.0.0.1:7500"]),
        ("--httplisten=foo:1", ["--httplisten=foo:1"]),
        ("--httplisten=localhost:22010", ["names are not allowed; give an IP address"]),
        ("--maxconns=-3", ["--maxconns=-3", "a whole number of at least 1"]),
        ("--httpgetlisten=:http", ["--httpgetlisten=:http"]),
        ("--mgmtlisten=1:2:3", ["--mgmtlisten=1:2:3"]),
        ("--log-format=xml", ["--log-format=xml", "json"]),
        ("--docroot=/nowhere/at/all", ["/nowhere/at/all", "No such file or directory"]),
        ("--docroot=/dev/null", ["/dev/null", "Not a directory"]),
        ("--config=/nowhere.conf", ["/nowhere.conf", "No such file or directory"]),
        ("--config=/", ["config file /", "Is a directory"]),
        ("--config=/dev/null", ["/dev/null", "empty"]),
        (
            "--server=apache",
            ["E: 'server = apache' not understood by cmogstored", "mogstored serves"],
        ),
        ("--pidfile=/nowhere/pid", ["/nowhere/pid", "No such file or directory"]),
        ("--pidfile=/", ["pidfile /", "Is a directory"]),
    ],
)
def test_option(docroot: Path, argument: str, facts: list[str]) -> None:
    (line,) = refusal(docroot, argument)
    for fact in facts:
        assert fact in line


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ("\nhttplisten = 666.0.0.1:7500", ["node.conf:2", "666.0.0.1:7500"]),
        ("mgmtlisten = foo:1\n", ["node.conf:1", "foo:1"]),
        ("maxconns = 12x\r\n", ["node.conf:1", "12x", "'x'"]),
        (f"maxconns = {2**64}\n", ["node.conf:1", str(2**64)]),
        ("pidfile = /x\0y\n", ["node.conf:1", "NUL"]),
        ("daemonize = maybe\n", ["node.conf:1", "maybe"]),
        ("docroot = /nowhere/x y\n", ["node.conf:1", "/nowhere/x y"]),
        ("docroot = /\n", ["docroot", "docroot = /", "--docroot="]),
        ("pidfile = /nowhere/pid\n", ["pidfile = /nowhere/pid", "--pidfile="]),
        ("server = nginx\n", ["E: 'server = nginx' not understood by cmogstored"]),
    ],
)
def test_line_of_a_file(docroot: Path, content: str, facts: list[str]) -> None:
    (docroot.parent / "node.conf").write_bytes(content.encode())
    (line,) = refusal(docroot, "--config=node.conf")
    for fact in facts:
        assert fact in line


def test_file_given_twice_by_a_link(docroot: Path) -> None:
    (docroot.parent / "node.conf").write_text("# nothing\n")
    (docroot.parent / "link").symlink_to("node.conf")
    (line,) = refusal(docroot, "-c", "node.conf", "-c", "link")
    assert "link" in line


def test_all_faults_are_said_at_once(docroot: Path) -> None:
    (docroot.parent / "node.conf").write_text("colour = red\nmaxconns = many\nhttplisten = x\n")
    warning, maxconns, address = refusal(docroot, "-c", "node.conf", lines=3)
    assert warning == "WARNING: node.conf:1: unknown key 'colour', ignored"
    assert maxconns == (
        "node.conf:2: maxconns = many: not a whole number of at least 1, because of 'm'"
    )
    assert address.startswith("node.conf:3: httplisten = x: ")


@pytest.mark.parametrize(
    ("docroot_line", "reason"),
    [
        ("/nowhere", "No such file or directory (ENOENT)"),
        ("/dev/null", "Not a directory (ENOTDIR)"),
    ],
)
def test_faults_of_a_file_and_its_docroot(tmp_path: Path, docroot_line: str, reason: str) -> None:
    (tmp_path / "node.conf").write_text(f"docroot = {docroot_line}\nmaxconns = -3\n")
    for check in ([], ["--check-config"]):
        said = run([*check, "--config=node.conf", "--mgmtlisten=127.0.0.1:0"], cwd=tmp_path).stderr
        assert f"node.conf:1: docroot = {docroot_line}: {reason}\n" in said
        assert "node.conf:2: maxconns = -3: not a whole number of at least 1" in said


@pytest.mark.parametrize("option", ["httplisten", "httpgetlisten", "mgmtlisten"])
def test_address_that_is_taken(docroot: Path, taken: str, option: str) -> None:
    (line,) = refusal(docroot, f"--{option}={taken}")
    assert taken in line
    assert "in use" in line


def test_address_of_another_machine(docroot: Path) -> None:
    (line,) = refusal(docroot, "--httplisten=192.0.2.1:7500")
    assert "192.0.2.1:7500" in line
    assert "assign" in line


def test_quoted_line_ends_do_not_make_a_second_line(docroot: Path) -> None:
    (line,) = refusal(docroot, "--docroot=/nowhere\nmogstored: all is well")
    assert "/nowhere\\nmogstored" in line


@pytest.mark.parametrize("argument", ["-?", "--help", "--usage", "-V", "--version"])
def test_options_that_only_print(argument: str) -> None:
    ended = run([argument, "--docroot=/nowhere"])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "mogstored" in ended.stdout


def test_version_line() -> None:
    assert run(["--version"]).stdout == f"mogstored {mogstored.__version__}\n"


def test_doubtful_lines_are_reported_and_the_node_serves(tmp_path: Path) -> None:
    file = tmp_path / "node.conf"
    file.write_text("colour = red\ndocroot\nserver = perlbal\nserverbin = /usr/bin/perlbal\n")
    with Node(extra=["--config", str(file), "-s"]) as node:
        said = [line for line in node.stderr_lines() if line.startswith("mogstored: ")]
    assert len(said) == 4
    assert said[0] == f"mogstored: WARNING: {file}:1: unknown key 'colour', ignored"
    assert f"{file}:2" in said[1]
    assert "'docroot'" in said[1]
    assert said[2].startswith("mogstored: W: using internal HTTP for 'server = perlbal'")
    assert "/usr/bin/perlbal" in said[3]


def test_server_none_refuses_http_connections(taken: str, tmp_path: Path) -> None:
    """The address is in use: a node that bound it would not start."""
    file = tmp_path / "node.conf"
    file.write_text(f"server = none\nhttplisten = {taken}\nhttpgetlisten = {taken}\n")
    with Node(http=False, mgmt=True, extra=["--config", str(file)]) as node:
        assert node.addresses("http") == node.addresses("httpget") == []
        assert len(node.addresses("mgmt")) == 1


def test_command_line_wins_over_the_addresses_of_a_file(taken: str, tmp_path: Path) -> None:
    file = tmp_path / "node.conf"
    file.write_text(f"httplisten = {taken}\nhttpgetlisten = 127.0.0.1:0")
    with Node(extra=["--config", str(file)]) as node:
        assert len(node.addresses("http")) == len(node.addresses("httpget")) == 1
        assert node.addresses("mgmt") == []


def test_invalid_interval_is_reported_and_the_node_serves() -> None:
    with Node(env={"MOG_DISK_USAGE_INTERVAL": "soon"}) as node:
        (line,) = [line for line in node.stderr_lines() if line.startswith("mogstored: ")]
    assert line.startswith("mogstored: WARNING: MOG_DISK_USAGE_INTERVAL=soon: ")


def test_maxconns_beyond_every_limit_is_no_reason_not_to_start() -> None:
    with Node(extra=[f"--maxconns={2**64 - 1}"], nofile=100) as node:
        assert node.is_running()


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this system has no ::1")
def test_ipv6_address_leaves_the_port_free_for_ipv4() -> None:
    port = unused_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        Node(http=False, extra=[f"--httplisten=[::]:{port}"]) as node,
    ):
        assert node.wait_for_log(rf"listening for http on \[::\]:{port}$")
        with socket.create_connection(("::1", port), 10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("backend", "library", "named"),
    [
        ("select", None, "MOGPOLL_BACKEND='select' is neither 'epoll' nor 'kqueue'"),
        pytest.param(
            "kqueue",
            "/no/such/library",
            "cannot load libkqueue from /no/such/library",
            marks=pytest.mark.skipif(
                hasattr(select, "kqueue"), reason="this system has a kqueue of its own"
            ),
        ),
    ],
)
def test_queue_that_cannot_be_had(
    docroot: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    library: str | None,
    named: str,
) -> None:
    monkeypatch.setenv("MOGPOLL_BACKEND", backend)
    if library is not None:
        monkeypatch.setenv("MOGPOLL_LIBKQUEUE", library)
    (line,) = refusal(docroot)
    assert line.startswith("cannot wait for events: ")
    assert named in line
