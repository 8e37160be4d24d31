"""The command in process: what is printed, and its exit status."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from mogstored.top import live
from mogstored.top import main as top_main
from mogstored.top.arguments import NodeAddress, Options
from mogstored.top.main import as_text, main, to_json
from mogstored.top.model import Device, Node
from tests.support.descriptors import open_numbers
from tests.support.status_servers import StatusServer, closed_port, device_of, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = Options(nodes=(NodeAddress("stor1"),))
DEVICES = (
    Device(node="stor1", device="dev1", state="ok"),
    Device(node="stor1", device="dev2", state="hung", source="/dev/" + "x" * 20),
)
NODE = Node(node="stor1", state="ok", devices=DEVICES)


@pytest.fixture
def names() -> Iterator[list[str]]:
    """The names of a node that answers, and of one that does not."""
    with ExitStack() as stack:
        server = stack.enter_context(StatusServer(status_of(device_of("dev1"))))
        yield [server.name, f"127.0.0.1:{stack.enter_context(closed_port())}"]


def run(*arguments: str) -> int:
    return main("mogstored top", [*arguments, "--interval", "0.1"])


@pytest.mark.parametrize("kind", ["--once", "--json"])
def test_status_says_whether_all_nodes_answered(
    names: list[str], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(kind, names[0]) == 0
    mgmt = ("--mgmt-port", names[1].rpartition(":")[2])
    assert run(kind, *names, *mgmt) == 1
    assert capsys.readouterr().err == ""


def test_json_is_one_object_and_a_line_end(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--json", names[0]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed)
    assert list(found) == ["schema", "time", "nodes"]
    assert found["schema"] == 1
    assert printed == json.dumps(found, indent=1) + "\n"
    # Asked twice, for the rates.
    assert found["nodes"][0]["requests_per_second"] == 0


def test_without_rich_a_line_says_what_is_missing(
    names: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    assert run("--once", names[0]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "mogstored top: the library rich is missing: pip install 'mogstored[top]', or install the "
        "system's python3-rich; --json does without\n"
    )
    assert run("--json", names[0]) == 0


def test_output_is_what_the_encoding_has(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert run("--once", names[0]) == 0
    assert re.search(rb" =+-+  50% ", written.getvalue())
    # Signs for which there is nothing.
    assert "━─…▁▂▃▄▅▆▇█äö".encode("ascii", "top") == b"=-~_.,:+*%#??"


@pytest.mark.parametrize(
    ("arguments", "is_terminal", "term", "is_live"),
    [
        ([], True, "xterm", True),
        (["--once"], True, "xterm", False),
        ([], False, "xterm", False),
        ([], True, "dumb", False),
        ([], True, None, False),
    ],
)
def test_terminal_that_can_be_redrawn_gets_the_live_view(
    names: list[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    is_terminal: bool,
    term: str | None,
    is_live: bool,
) -> None:
    shown: list[Any] = []

    def run_live(_options: Options, console: Any) -> int:
        shown.append(console)
        return 7

    monkeypatch.setattr(live, "run_live", run_live)
    monkeypatch.setattr(os, "isatty", lambda fd: is_terminal and fd == 1)
    monkeypatch.setenv("COLUMNS", "33")
    monkeypatch.setenv("LINES", "11")
    monkeypatch.setenv("TERM", term or "")
    if term is None:
        monkeypatch.delenv("TERM")
    assert run(*arguments, names[0]) == (7 if is_live else 0)
    assert len(shown) == is_live
    for console in shown:
        # The size is the terminal's.
        assert not {"COLUMNS", "LINES"} & console._environ.keys()
        assert console._environ["TERM"] == "xterm"


def test_reader_that_has_enough_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    saved = os.dup(1)
    os.dup2(writer, 1)
    os.close(writer)
    before = open_numbers()
    try:
        with open(1, "w", closefd=False) as stdout:
            monkeypatch.setattr(sys, "stdout", stdout)
            top_main._print("x" * 100_000)
            # The interpreter flushes once more at its end.
            stdout.write("more")
        opened = open_numbers() - before
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    for fd in opened:
        os.close(fd)


def test_worst_devices_are_first_in_json() -> None:
    shown: Any = to_json([NODE], 5.0)
    (node,) = shown["nodes"]
    found = [(each["device"], each["verdict"]) for each in node["devices"]]
    assert found == [("dev2", "hung"), ("dev1", "ok")]
    assert "node" not in node["devices"][0]


def test_text_is_cut_to_the_width_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = as_text([NODE], OPTIONS).splitlines()
    assert max(map(len, lines)) <= 60
    for columns in (None, "many"):
        if columns is None:
            monkeypatch.delenv("COLUMNS")
        else:
            monkeypatch.setenv("COLUMNS", columns)
        lines = as_text([NODE], OPTIONS).splitlines()
        assert [line.split()[0] for line in lines if line] == [
            *("NODE", "stor1", "DEVICE", "dev2", "dev1"),
        ]
        assert lines[4].endswith(f" {DEVICES[1].source}")
        assert [line for line in lines if line != line.rstrip()] == []


def test_text_is_ordered_and_filtered() -> None:
    options = Options(nodes=OPTIONS.nodes, sort="name", filter="dev")
    assert [line[:4] for line in as_text([NODE], options).splitlines()[4:]] == ["dev1", "dev2"]
    options = Options(nodes=OPTIONS.nodes, filter="hung")
    assert [line[:4] for line in as_text([NODE], options).splitlines()[4:]] == ["dev2"]
