"""`mogstored top` on a terminal: what it shows, what keys do, and how it leaves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.http import Client, compose
from tests.support.slow_disk import node_with_slow_disk
from tests.support.status_servers import (
    StatusServer,
    closed_port,
    device_of,
    silent_port,
    status_of,
)
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

_ENTERS, _LEAVES = b"\x1b[?1049h", b"\x1b[?1049l"
_HIDES_CURSOR, _SHOWS_CURSOR = b"\x1b[?25l", b"\x1b[?25h"
_LAST_KEY = " q quit"


def rows(lines: list[str], *heads: str) -> list[str]:
    """Return the first words of the lines that begin with one of these."""
    return [line.split()[0] for line in lines if line.startswith(heads)]


@contextmanager
def watching(*servers: StatusServer, **more: Any) -> Iterator[Terminal]:
    """Yield a terminal that shows the nodes of these servers."""
    with ExitStack() as stack:
        names = [stack.enter_context(server).name for server in servers]
        closed = str(stack.enter_context(closed_port()))
        arguments = ["top", *names, "--interval", "0.1", "--mgmt-port", closed, "--timeout", "20"]
        yield stack.enter_context(Terminal(arguments, **more))


def two_disks() -> StatusServer:
    return StatusServer(status_of(device_of("dev1"), device_of("dev2", state="hung", waiting=3)))


def left_well(terminal: Terminal) -> bool:
    """Return whether the terminal is as it was: its mode, its screen, its cursor."""
    return (
        terminal.mode == terminal.mode_before
        and terminal.sent.count(_ENTERS) == terminal.sent.count(_LEAVES) > 0
        and terminal.sent.rindex(_SHOWS_CURSOR) > terminal.sent.rindex(_HIDES_CURSOR)
    )


def test_worst_is_on_top_and_changes_are_seen() -> None:
    server = two_disks()
    with watching(server) as terminal:
        lines = terminal.wait_for_text("dev2")
        assert rows(lines, "dev") == ["dev2", "dev1"]
        assert "1 hung" in lines[0]
        assert lines[-1].startswith(_LAST_KEY)
        server.content = status_of(device_of("dev1", state="read-only"), device_of("dev2"))
        lines = terminal.wait_for_text("1 read-only")
        assert rows(lines, "dev") == ["dev1", "dev2"]
        terminal.type(b"q")
        assert terminal.wait() == 0
        assert left_well(terminal)


def test_nodes_that_hang_delay_no_other() -> None:
    with ExitStack() as stack:
        names = [
            stack.enter_context(StatusServer(status_of(device_of(f"dev{i}")))).name
            for i in range(32)
        ]
        names += [f"127.0.0.1:{stack.enter_context(silent_port())}" for _ in range(8)]
        closed = str(stack.enter_context(closed_port()))
        # The silent ones are waited for longer than the test lasts.
        arguments = ["top", *names, "--timeout", "3600", "--mgmt-port", closed]
        terminal = stack.enter_context(Terminal(arguments, columns=120, rows=60))
        lines = terminal.wait_for(
            lambda lines: lines[0].startswith("mogstored top  40 nodes: 8 asking  32 devices: ok"),
            "all others are shown",
        )
        assert lines[0].startswith("mogstored top  40 nodes: 8 asking")
        terminal.type(b"q")
        assert terminal.wait() == 0


def test_node_that_stops_answering_is_seen() -> None:
    server = two_disks()
    with closed_port() as closed, server:
        arguments = ["top", server.name, "--interval", "0.1", "--timeout", "0.3"]
        with Terminal([*arguments, "--mgmt-port", str(closed)]) as terminal:
            terminal.wait_for_text("dev2")
            server.gate.clear()
            lines = terminal.wait_for_text("no answer")
            assert rows(lines, "dev") == []
            server.gate.set()
            terminal.wait_for_text("dev2")


def test_keys_sort_filter_and_scroll() -> None:
    devices = [device_of(f"dev{i}", utilization_ratio=i / 200) for i in range(1, 101)]
    with watching(StatusServer(status_of(*devices))) as terminal:
        lines = terminal.wait_for_text("dev100")
        assert rows(lines, "dev")[:2] == ["dev100", "dev99"]
        terminal.type(b"n")
        lines = terminal.wait_for_text("sort: name")
        assert rows(lines, "dev")[:2] == ["dev1", "dev2"]
        terminal.type(b"r")
        lines = terminal.wait_for_text("reversed")
        assert rows(lines, "dev")[:2] == ["dev100", "dev99"]
        terminal.type(b"\x1b[B")
        terminal.wait_for_text("from 2 of 100")
        terminal.type(b"\x1b[F")
        lines = terminal.wait_for(lambda lines: "dev1" in rows(lines, "dev"), "the end")
        assert rows(lines, "dev")[-1] == "dev1"
        terminal.type(b"\x1b[H")
        terminal.wait_for_text("from 1 of 100")
        terminal.type(b"/dev5q")
        terminal.wait_for_text("filter: dev5q")
        terminal.type(b"\x7f7\r")
        lines = terminal.wait_for_text("filter: dev57  ")
        assert rows(lines, "dev") == ["dev57"]
        terminal.type(b"\x1b")
        terminal.wait_for_text("from 1 of 100")
        terminal.type(b"s")
        terminal.wait_for_text("sort: worst, reversed")


def test_tables_alone_and_help() -> None:
    with watching(two_disks()) as terminal:
        terminal.wait_for_text("dev2")
        terminal.type(b"v")
        terminal.wait_for(lambda lines: not rows(lines, "dev", "DEVICE"), "nodes alone")
        terminal.type(b"v")
        lines = terminal.wait_for_text("dev2")
        assert rows(lines, "NODE") == []
        terminal.type(b"h")
        terminal.wait_for_text("any key")
        terminal.type(b"q")
        terminal.wait_for_text("dev2")


def test_pause_keeps_the_picture() -> None:
    server = two_disks()
    with watching(server) as terminal:
        terminal.wait_for_text("dev2")
        terminal.type(b"p")
        terminal.wait_for(lambda lines: lines[0].endswith("paused"), "paused")
        server.content = status_of(device_of("dev3"))
        asked = server.asked
        wait_until(lambda: server.asked > asked + 2, "the node is asked on")
        terminal.type(b"n")
        assert rows(terminal.wait_for_text("sort: name"), "dev") == ["dev1", "dev2"]
        terminal.type(b" ")
        assert rows(terminal.wait_for_text("dev3"), "dev") == ["dev3"]


@pytest.mark.parametrize(("columns", "rows_"), [(132, 50), (50, 12), (20, 4)])
def test_picture_follows_the_size_of_the_window(columns: int, rows_: int) -> None:
    devices = [device_of(f"dev{i}", waiting=1) for i in range(60)]
    with watching(StatusServer(status_of(*devices)), env={"COLUMNS": "33"}) as terminal:
        terminal.wait_for_text("dev7")
        terminal.resize(columns, rows_)
        terminal.wait_for(
            lambda lines: len(lines) == rows_ and lines[-1].startswith(_LAST_KEY), "a full screen"
        )
        lines = terminal.wait_for(lambda lines: rows(lines, "DEVICE"), "the heading")
        assert ("SOURCE" in "".join(lines)) == (columns > 100)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda terminal: terminal.type(b"\x03"), 0),
        (lambda terminal: terminal.send_signal(signal.SIGTERM), 128 + signal.SIGTERM),
        (lambda terminal: terminal.send_signal(signal.SIGHUP), 128 + signal.SIGHUP),
    ],
    ids=["Ctrl-C", "TERM", "HUP"],
)
def test_terminal_is_restored_at_every_end(end: Callable[[Terminal], None], status: int) -> None:
    with watching(two_disks()) as terminal:
        terminal.wait_for_text("dev2")
        assert terminal.mode != terminal.mode_before
        end(terminal)
        assert terminal.wait() == status
        assert left_well(terminal)
        assert b"Traceback" not in terminal.sent


def test_terminal_is_restored_after_an_error_of_the_program() -> None:
    fault = """
import mogstored.top.live as live
draw, drawn = live.screen, []
def failing(nodes, *args):
    drawn.append(1)
    if any(node.devices for node in nodes):
        raise RuntimeError("a fault")
    return draw(nodes, *args)
live.screen = failing
"""
    with watching(two_disks(), injected=fault) as terminal:
        assert terminal.wait() == 1
        assert left_well(terminal)
        assert terminal.sent.index(b"a fault") > terminal.sent.index(_LEAVES)


def test_stopped_by_the_shell_and_continued() -> None:
    with watching(two_disks()) as terminal:
        terminal.wait_for_text("dev2")
        terminal.type(b"\x1a")

        def is_stopped() -> bool:
            terminal.read()
            return terminal.is_stopped

        wait_until(is_stopped, "stopped")
        assert left_well(terminal)
        terminal.send_signal(signal.SIGCONT)
        wait_until(lambda: terminal.mode != terminal.mode_before, "it goes on")
        terminal.type(b"n")
        terminal.wait_for_text("sort: name")


def test_hostile_names_do_not_reach_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J[blink]dev\u202e"
    with watching(StatusServer(status_of(device_of(evil)))) as terminal:
        terminal.wait_for_text("\\x1b]0;")
        assert b"\x1b]0" not in terminal.sent
        assert b"\x07" not in terminal.sent
        assert b"\x1b[2J" not in terminal.sent


@pytest.mark.parametrize(
    ("content", "said"), [(b"<html>", "no JSON"), ({"schema": []}, "schema is no number")]
)
def test_bad_answer_is_shown(content: object, said: str) -> None:
    with watching(StatusServer(content)) as terminal:
        lines = terminal.wait_for_text(said)
        assert "bad answer" in "\n".join(lines)


def test_no_color_is_obeyed() -> None:
    with watching(two_disks(), env={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for_text("dev2")
        terminal.type(b"q")
        terminal.wait()
        assert b"\x1b[1;31m" not in terminal.sent
        assert b"\x1b[31m" not in terminal.sent
    with watching(two_disks()) as terminal:
        terminal.wait_for_text("dev2")
        terminal.type(b"q")
        terminal.wait()
        assert b"\x1b[1;31m" in terminal.sent


def test_disk_that_hangs_comes_to_the_top_and_goes_again(tmp_path: Path) -> None:
    with (
        node_with_slow_disk(tmp_path / "disk", admin=True) as (node, disk),
        closed_port() as closed,
        ExitStack() as stack,
    ):
        arguments = ["top", f"127.0.0.1:{node.admin[1]}", "--interval", "0.1"]
        terminal = stack.enter_context(Terminal([*arguments, "--mgmt-port", str(closed)]))
        terminal.wait_for(lambda lines: set(rows(lines, "dev")) == {"dev1", "dev2"}, "both")
        disk.hang()
        client = stack.enter_context(Client(node.http))
        client.send(compose("GET", "/dev2/file"))
        lines = terminal.wait_for_text(" hung ")
        assert rows(lines, "dev") == ["dev2", "dev1"]
        disk.release()
        terminal.wait_for(lambda lines: "2 devices: ok" in lines[0], "both are fine")
