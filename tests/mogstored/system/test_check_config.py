"""--check-config: reports all settings and all errors, and starts nothing."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mogpoll.system.limits.cores import usable_cores
from tests.support.daemon import Node
from tests.support.privileges import unprivileged
from tests.support.program import run
from tests.support.sockets import unused_port


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name / "dev1").mkdir(parents=True)
    return tmp_path.resolve()


def test_good_configuration_starts_nothing(place: Path) -> None:
    addr = "127.0.0.1:0"
    file = place / "node.conf"
    file.write_text(f"docroot = {place}/a\npidfile = {place}/pid\nmgmtlisten = {addr}\n")
    ended = run(["--check-config", "-c", str(file), "--daemonize", f"--httplisten={addr}"])
    assert ended.returncode == 0
    assert ended.stderr == "mogstored: errors: 0, warnings: 0\n"
    shown = ended.stdout.splitlines()
    for line in (
        f"# from {file}",
        f"docroot = {place}/a",
        f"httplisten = {addr}",
        f"mgmtlisten = {addr}",
        f"pidfile = {place}/pid",
        "daemonize = yes",
        "maxconns = 10000",
        "require_mount = no",
    ):
        assert line in shown
    assert not (place / "pid").exists()
    assert list((place / "a" / "dev1").iterdir()) == []


def test_number_that_auto_gives_here(place: Path) -> None:
    arguments = ["--check-config", f"--docroot={place}/a", "--httplisten=127.0.0.1:0"]
    ended = run([*arguments, "--worker-processes=auto"])
    line = f"worker_processes = auto  # {usable_cores()} here"
    assert line in ended.stdout.splitlines()
    file = place / "node.conf"
    file.write_text(ended.stdout)
    assert line in run(["--check-config", "-c", str(file)]).stdout.splitlines()


def test_every_problem_is_shown_with_file_and_line(place: Path) -> None:
    first, second = place / "1.conf", place / "2.conf"
    first.write_text(
        f"colour = red\ndocroot = {place}/a\nmaxconns = x\nhttplisten = 127.0.0.1:0\n"
    )
    second.write_text(f"httplisten = foo:1\n\ndocroot = {place}/a\n")
    ended = run(
        ["--check-config", "-c", str(first), "-c", str(second), "--httplisten=127.0.0.2:0"]
    )
    assert ended.returncode == 1
    said = ended.stderr.splitlines()
    expected = [
        f"WARNING: {first}:1: unknown key 'colour'",
        f"{first}:3: maxconns = x: ",
        f"{second}:1: httplisten = foo:1: ",
        "--httplisten=127.0.0.2:0: ",
        "several --config are only allowed with --multi",
        f"{second}:3: docroot = {place}/a: ",
        "errors: 5, warnings: 1",
    ]
    assert len(said) == len(expected)
    for line, start in zip(said, expected, strict=True):
        assert line.startswith(f"mogstored: {start}")


def test_warnings_alone_are_no_failure(place: Path) -> None:
    file = place / "node.conf"
    file.write_text(f"docroot = {place}/a\ncolour = red\n")
    ended = run(["--check-config", "-c", str(file), "--httplisten=127.0.0.1:0"])
    assert ended.returncode == 0
    assert f"{file}:2" in ended.stderr
    assert "errors: 0, warnings: 1" in ended.stderr


def test_each_service_is_shown(place: Path) -> None:
    for name in ("a", "b"):
        content = f"docroot = {place}/{name}\nhttplisten = 127.0.0.1:0\nmaxconns = 5\n"
        (place / f"{name}.conf").write_text(content)
    files = [f"--config={place}/{name}.conf" for name in ("a", "b")]
    ended = run(["--check-config", "--multi", *files])
    assert ended.returncode == 0
    shown = ended.stdout.splitlines()
    assert shown.index(f"docroot = {place}/a") < shown.index(f"docroot = {place}/b")
    assert "maxconns = 10" in shown


def test_relative_paths_are_shown_when_detaching(place: Path) -> None:
    ended = run(
        ["--check-config", "-d", "--docroot=a", "--httplisten=127.0.0.1:0"],
        cwd=place,
        env={"PATH": "/usr/bin::/bin"},
    )
    assert ended.returncode == 1
    said = ended.stderr.splitlines()
    assert said[0] == "mogstored: docroot=a must use an absolute path"
    assert said[1] == "mogstored: PATH environment contains relative path: "
    assert "relative paths are incompatible with --daemonize" in said[2]


def test_a_command_line_that_cannot_be_parsed_is_not_checked(place: Path) -> None:
    assert run(["--check-config", "--nonsense"]).returncode == 64


# Errors that a start would meet.


def check(place: Path, *arguments: str, wrapper: Sequence[str] = ()) -> tuple[int, list[str]]:
    command = ["--check-config", f"--docroot={place}/a", *arguments]
    ended = run(command, cwd=place, wrapper=wrapper)
    said = [line.removeprefix("mogstored: ") for line in ended.stderr.splitlines()]
    assert said[-1].startswith("errors: "), ended.stderr
    return ended.returncode, said[:-1]


@pytest.mark.parametrize("option", ["httplisten", "httpgetlisten", "mgmtlisten", "adminlisten"])
def test_address_in_use(place: Path, taken: str, option: str) -> None:
    """By this process, which is called python and not mogstored."""
    arguments = ["--httplisten=127.0.0.1:0", f"--{option}={taken}"]
    status, (line,) = check(place, *arguments)
    assert line.startswith(f"{option} = {taken}: Address already in use")
    assert f", by PID: {os.getpid()} (" in line
    assert status == 1


def test_inherited_descriptor_that_is_no_listener(place: Path) -> None:
    arguments = ["--check-config", f"--docroot={place}/a", "--httplisten=127.0.0.1:0"]
    ended = run(arguments, env={"CMOGSTORED_FD": "666"})
    assert "getsockname(666) failed: " in ended.stderr
    assert ended.stderr.endswith("mogstored: errors: 1, warnings: 0\n")
    assert ended.returncode == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="BSDs let both listen")
@pytest.mark.parametrize("order", [1, -1], ids=["wildcard-first", "wildcard-last"])
def test_wildcard_and_an_address_of_its_port(place: Path, order: int) -> None:
    port = unused_port()
    first, second = [f"{port}", f"127.0.0.1:{port}"][::order]
    status, (line,) = check(place, f"--httplisten={first}", f"--mgmtlisten={second}")
    in_use = f"{os.strerror(errno.EADDRINUSE)} (EADDRINUSE)"
    assert line == f"mgmtlisten = {second}: {in_use}, by httplisten = {first}"
    assert status == 1
    assert check(place, "--httplisten=0", "--mgmtlisten=127.0.0.1:0") == (0, [])


def test_address_of_another_machine(place: Path) -> None:
    status, (line,) = check(place, "--httplisten=192.0.2.1:7500")
    assert (status, line) == (
        1,
        f"httplisten = 192.0.2.1:7500: {os.strerror(errno.EADDRNOTAVAIL)} (EADDRNOTAVAIL)",
    )


def test_address_in_use_and_docroot_are_found_in_one_run(place: Path, taken: str) -> None:
    (place / "node.conf").write_text(f"docroot = /nowhere\nhttplisten = {taken}\nmaxconns = x\n")
    ended = run(["--check-config", "-c", "node.conf"], cwd=place)
    assert "node.conf:1: docroot = /nowhere: No such file" in ended.stderr
    assert "node.conf:3: maxconns = x: " in ended.stderr
    assert f"httplisten = {taken}: Address already in use" in ended.stderr


def test_check_does_not_listen(place: Path) -> None:
    """It binds without listening, and frees the address."""
    addr = f"127.0.0.1:{unused_port()}"
    assert check(place, f"--httplisten={addr}") == (0, [])
    assert check(place, f"--httplisten={addr}") == (0, [])


@pytest.mark.parametrize(
    ("pidfile", "reason"),
    [("/nowhere/pid", "No such file or directory (ENOENT)"), ("b", "Is a directory (EISDIR)")],
)
def test_pidfile_that_cannot_be_had(place: Path, pidfile: str, reason: str) -> None:
    status, said = check(place, f"--pidfile={pidfile}", "--httplisten=127.0.0.1:0")
    assert (status, said) == (1, [f"cannot open pidfile {pidfile}: {reason}"])


def test_pidfile_that_may_not_be_made(place: Path) -> None:
    (place / "b").chmod(0o500)
    arguments = ["--pidfile=b/pid", "--httplisten=127.0.0.1:0"]
    status, said = check(place, *arguments, wrapper=unprivileged())
    assert status == 1
    assert said == ["cannot open pidfile b/pid: its directory is not writable (EACCES)"]


def test_pidfile_is_neither_made_nor_changed(place: Path) -> None:
    arguments = [f"--pidfile={place}/pid", "--httplisten=127.0.0.1:0"]
    assert check(place, *arguments) == (0, [])
    assert not (place / "pid").exists()
    (place / "pid").write_text("left over\n")
    assert check(place, *arguments) == (0, [])
    assert (place / "pid").read_text() == "left over\n"


def test_node_that_runs_already_is_a_warning(place: Path) -> None:
    """New files can be checked while the node runs."""
    addr = f"127.0.0.1:{unused_port()}"
    options = [f"--httplisten={addr}", f"--pidfile={place}/pid"]
    with Node(http=False, extra=options) as node:
        status, said = check(place, *options)
        assert said[0] == f"WARNING: pidfile = {place}/pid: already running on PID: {node.pid}"
        assert said[1].startswith(f"WARNING: httplisten = {addr}: Address already in use")
        assert (status, len(said)) == (0, 2)
        assert (place / "pid").read_text() == f"{node.pid}\n"


def test_socket_that_a_service_manager_left_is_not_in_the_way(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        addr = f"127.0.0.1:{listener.getsockname()[1]}"
        done = subprocess.run(
            [
                *(sys.executable, "-P", "-m", "mogstored", "--check-config"),
                *(f"--docroot={place}/a", f"--httplisten={addr}"),
            ],
            env={**os.environ, "CMOGSTORED_FD": str(listener.fileno())},
            pass_fds=[listener.fileno()],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "mogstored: errors: 0, warnings: 0\n")


def test_strict_makes_warnings_errors(place: Path) -> None:
    file = place / "node.conf"
    file.write_text(f"colour = red\ndocroot = {place}/a\nhttplisten = 127.0.0.1:0\n")
    for options in (["--check-config"], []):
        ended = run([*options, "--strict", "-c", str(file)])
        assert ended.returncode == 1
        assert f"WARNING: {file}:1: unknown key 'colour'" in ended.stderr
        assert ended.stderr.endswith("mogstored: warnings are errors with --strict\n")
    assert run(["--check-config", "-c", str(file)]).returncode == 0


def test_strict_without_warnings(place: Path) -> None:
    ended = run(["--check-config", "--strict", f"--docroot={place}/a", "--httplisten=127.0.0.1:0"])
    assert (ended.returncode, ended.stderr) == (0, "mogstored: errors: 0, warnings: 0\n")


def test_node_that_runs_already_is_no_error_if_strict(place: Path) -> None:
    pidfile = f"--pidfile={place}/pid"
    with Node(extra=[pidfile]) as node:
        ended = run(
            [
                *("--check-config", "--strict", pidfile, f"--docroot={node.docroot}"),
                f"--httplisten=127.0.0.1:{node.http[1]}",
            ]
        )
    assert ended.returncode == 0
    assert ended.stderr.endswith("errors: 0, warnings: 2\n")


def test_all_faults_in_one_run_with_what_was_meant(place: Path) -> None:
    file = place / "node.conf"
    file.write_text(
        "htplisten = 7500\nlog_level = warnings\nrequire_mount = yess\ndocroot = /nowhere\n"
        "maxconns = many\n"
    )
    ended = run(["--check-config", "--dokroot=x", "--log-format=jsn", f"--config={file}"])
    assert ended.returncode == 64
    said = ended.stderr.splitlines()
    for expected in (
        f"mogstored: WARNING: {file}:1: unknown key 'htplisten' (did you mean 'httplisten'?)",
        f"mogstored: {file}:2: log_level = warnings: not one of debug, info, notice, ",
        f"mogstored: {file}:3: require_mount = yess: neither yes nor no",
        f"mogstored: {file}:4: docroot = /nowhere: No such file or directory (ENOENT)",
        f"mogstored: {file}:5: maxconns = many: ",
        "mogstored: --log-format=jsn: not one of text, json (did you mean 'json'?)",
        "mogstored: unrecognized arguments: --dokroot=x (did you mean '--docroot'?)",
    ):
        assert any(line.startswith(expected) for line in said), (expected, said)
    assert "(did you mean 'yes'?)" in ended.stderr
    assert "(did you mean 'warning'?)" in ended.stderr
