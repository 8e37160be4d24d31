"""How the program ends when memory runs out before it can log."""

from __future__ import annotations

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


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_other_errors_are_not_taken_for_one(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(error, monkeypatch)
    with pytest.raises(type(error)) as raised:
        cli.main([])
    assert raised.value is error
