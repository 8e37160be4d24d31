"""How the program ends when memory runs out before it can log."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mogstored import cli
from tests.mogstored.shortages import FAULTS, SHORTAGES


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_arguments: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_main", fail)


@pytest.mark.parametrize("error", SHORTAGES, ids=repr)
def test_shortage_of_memory_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fail_with(error, monkeypatch)
    monkeypatch.setattr("os._exit", sys.exit)
    with pytest.raises(SystemExit, match=r"^1$"):
        cli.main(["--docroot", "/"])
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("mogstored: too little memory")
    assert said.err.count("\n") == 1
    assert said.err.endswith("\n")


def test_what_was_printed_before_a_shortage_reaches_a_pipe() -> None:
    code = """
from mogstored import cli

def fail(_arguments):
    print("printed before")
    raise MemoryError

cli._main = fail
cli.main([])
"""
    # Where it is set, nothing waits to be written.
    buffered = {name: each for name, each in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=buffered, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"printed before\n")
    assert done.stderr.startswith(b"mogstored: too little memory")


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_other_errors_are_not_taken_for_one(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(error, monkeypatch)
    with pytest.raises(type(error)) as raised:
        cli.main([])
    assert raised.value is error
