"""Start the program again with its first directory, arguments and environment."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mogstored.children import describe_exit
from mogstored.process.upgrades.invocation import Invocation
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

# Writes its directory, arguments and environment; fails without one of the sockets.
_WRITE_START = """
import os, sys
shown = [os.getcwd(), " ".join(sys.argv[1:]), *sorted(f"{k}={v}" for k, v in os.environ.items())]
with open(sys.argv[1], "w") as file:
    file.write("\\n".join(shown))
for fd in map(int, os.environ["CMOGSTORED_FD"].split(",")):
    os.fstat(fd)
"""


# Executes an invocation, in a process of its own.
_EXECUTE = """
import os, sys
from mogstored.children import describe_exit
from mogstored.process.upgrades.invocation import Invocation
arguments, environment, directory, fds = eval(sys.argv[1])
Invocation(arguments, environment, directory).execute(fds)
"""


def execute(invocation: Invocation, *socks: socket.socket) -> subprocess.CompletedProcess[str]:
    """Execute the invocation in a new process with these sockets."""
    fds = [sock.fileno() for sock in socks]
    given = (tuple(invocation.arguments), dict(invocation.environment), invocation.directory, fds)
    return subprocess.run(
        [sys.executable, "-c", _EXECUTE, repr(given)],
        pass_fds=fds,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_directory_arguments_and_environment_of_the_start(tmp_path: Path) -> None:
    output = tmp_path / "output"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "OWN": "value"}
    invocation = Invocation(
        (sys.executable, "-c", _WRITE_START, str(output), "two"), environment, str(tmp_path)
    )
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as two:
        assert execute(invocation, one, two).returncode == 0
        shown = output.read_text().splitlines()
        assert shown[0] == str(tmp_path.resolve())
        assert shown[1] == f"{output} two"
        assert f"CMOGSTORED_FD={one.fileno()},{two.fileno()}" in shown
        assert "OWN=value" in shown


def test_what_was_meant_for_this_process_alone_is_left_out(tmp_path: Path) -> None:
    output = tmp_path / "output"
    environment = {
        "CMOGSTORED_FD": "77",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "a",
        "WATCHDOG_PID": "1",
        "WATCHDOG_USEC": "1000000",
    }
    invocation = Invocation((sys.executable, "-c", _WRITE_START, str(output)), environment, None)
    with socket.socket() as sock:
        assert execute(invocation, sock).returncode == 0
        shown = output.read_text().splitlines()
        assert not [line for line in shown if line.startswith(("LISTEN_", "WATCHDOG_PID"))]
        assert "WATCHDOG_USEC=1000000" in shown
        assert f"CMOGSTORED_FD={sock.fileno()}" in shown


def test_relative_program_is_found_from_the_directory_of_the_start(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$1" > output\n')
    program.chmod(0o755)
    assert (
        execute(Invocation(("./program", "found"), dict(os.environ), str(tmp_path))).returncode
        == 0
    )
    assert (tmp_path / "output").read_text() == "found\n"


def test_directory_that_has_gone_does_not_matter(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    invocation = Invocation((sys.executable, "-c", ""), dict(os.environ), str(gone))
    assert execute(invocation).returncode == 0


def test_program_that_has_gone_is_an_error(tmp_path: Path) -> None:
    done = execute(Invocation((str(tmp_path / "gone"),), dict(os.environ), None))
    assert "FileNotFoundError" in done.stderr


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with status 0"),
        (64, "exited with status 64"),
        (-9, "was killed by SIGKILL"),
        (-200, "was killed by signal 200"),
    ],
)
def test_end_of_a_process_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
