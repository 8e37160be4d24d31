"""A process that detaches: its pipe to the caller, and what it has printed before."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mogstored.process.supervision.daemonize import ReadyPipe
from tests.project._tree import ROOT
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def open_pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)


@pytest.mark.parametrize("reports", [True, False])
def test_descriptor_that_another_has_by_now_is_left_alone(reports: bool) -> None:
    with open_pipe() as (reader, fd), open_pipe() as (other_reader, other_fd):
        pipe = ReadyPipe(fd)
        pipe.report() if reports else pipe.close()
        assert os.read(reader, 8) == b"1" * reports
        assert os.read(reader, 8) == b""
        os.dup2(other_fd, fd)
        pipe.report()
        pipe.close()
        os.write(fd, b"x")
        assert os.read(other_reader, 8) == b"x"
        os.close(fd)
        os.close(other_fd)


def test_caller_that_was_killed() -> None:
    with open_pipe() as (_, fd):
        pass
    pipe = ReadyPipe(fd)
    pipe.report()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_what_was_printed_before_is_printed_once() -> None:
    code = (
        "import sys; from mogstored.process.supervision.daemonize import daemonize; "
        "sys.stdout.write('before'); daemonize('program').report(); sys.stdout.flush()"
    )
    command = [sys.executable, "-c", code]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(
        command, env=buffered, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"before", b"")


def test_detached_process_has_its_pipe_open_and_nothing_else_of_it(tmp_path: Path) -> None:
    code = """
import sys
from mogstored.process.supervision.daemonize import daemonize
from tests.support.descriptors import open_numbers

before = len(open_numbers())
pipe = daemonize("program")
more = len(open_numbers()) - before
pipe.report()
with open(sys.argv[1], "w") as file:
    file.write(f"{more} {len(open_numbers()) - before}")
"""
    counts = tmp_path / "counts"
    code = f"import sys; sys.path.append({str(ROOT)!r}){code}"
    command = [sys.executable, "-P", "-c", code, str(counts)]
    subprocess.run(command, timeout=PATIENCE_S, check=True)
    # The file itself is the one at the end.
    wait_until(lambda: counts.exists() and counts.read_text() == "1 1", "the pipe was all")
