"""Starting the program again as it was started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mogstored.process.upgrade import Launch, how

if TYPE_CHECKING:
    from pathlib import Path

# Tells where it runs and with what; fails if it lacks one of the sockets.
_TELL = """
import os, sys
shown = [os.getcwd(), " ".join(sys.argv[1:]), *sorted(f"{k}={v}" for k, v in os.environ.items())]
with open(sys.argv[1], "w") as file:
    file.write("\\n".join(shown))
for fd in map(int, os.environ["CMOGSTORED_FD"].split(",")):
    os.fstat(fd)
"""


def lines_of(process: subprocess.Popen[bytes], told: Path) -> list[str]:
    assert process.wait(20.0) == 0
    return told.read_text().splitlines()


def test_directory_arguments_and_environment_of_the_start(tmp_path: Path) -> None:
    told = tmp_path / "told"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "OWN": "value"}
    launch = Launch((sys.executable, "-c", _TELL, str(told), "two"), environment, str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as two:
        shown = lines_of(launch.again([one.fileno(), two.fileno()]), told)
        assert shown[0] == str(tmp_path.resolve())
        assert shown[1] == f"{told} two"
        assert f"CMOGSTORED_FD={one.fileno()},{two.fileno()}" in shown
        assert "OWN=value" in shown
        # In this process they are as they were.
        assert not one.get_inheritable()


def test_what_was_meant_for_this_process_alone_is_left_out(tmp_path: Path) -> None:
    told = tmp_path / "told"
    environment = {
        "CMOGSTORED_FD": "77",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "a",
        "WATCHDOG_PID": "1",
        "WATCHDOG_USEC": "1000000",
    }
    launch = Launch((sys.executable, "-c", _TELL, str(told)), environment, None)
    with socket.socket() as sock:
        shown = lines_of(launch.again([sock.fileno()]), told)
        assert not [line for line in shown if line.startswith(("LISTEN_", "WATCHDOG_PID"))]
        assert "WATCHDOG_USEC=1000000" in shown
        assert f"CMOGSTORED_FD={sock.fileno()}" in shown


def test_relative_program_is_found_from_the_directory_of_the_start(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$1" > told\n')
    program.chmod(0o755)
    launch = Launch(("./program", "found"), dict(os.environ), str(tmp_path))
    assert lines_of(launch.again([]), told) == ["found"]


def test_directory_that_has_gone_does_not_matter(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    launch = Launch((sys.executable, "-c", ""), dict(os.environ), str(gone))
    assert launch.again([]).wait(20.0) == 0


def test_program_that_has_gone_is_an_error(tmp_path: Path) -> None:
    launch = Launch((str(tmp_path / "gone"),), dict(os.environ), None)
    with pytest.raises(FileNotFoundError):
        launch.again([])


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
    assert how(code) == words
