"""A machine that is killed: how it is started, what its load notes, and how its disk is judged."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.crash.history import Verdict
from tests.crash.load import CLIENTS
from tests.support.daemon import Node
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.crash.machine import Result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulates Linux, on Linux")

KIB = 1024


def test_disk_of_the_machine_has_a_cache_and_its_flushes_arrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tests.crash import guest

    monkeypatch.setattr(guest, "require_tool", lambda tool, _package: f"/bin/{tool}")
    system = guest.System(Path("/vmlinuz"), Path("/root.cpio"))
    command = guest.command_line(system, Path("/image"), 1234, "kind=xfs level=full")
    words = " ".join(command)
    assert words.count("-drive ") == 1
    assert "-drive file=/image,if=virtio,format=raw,cache=writeback," in words
    assert "restrict=on,hostfwd=tcp:127.0.0.1:1234-:7500" in words
    assert command[command.index("-append") + 1].endswith(" kind=xfs level=full")


def test_init_of_the_machine_is_a_script() -> None:
    from tests.crash import guest

    init = guest._INIT.format(modules=" ".join(guest._MODULES), python="/python", port=7500)
    assert init.count("$level") == 1
    assert "exec /python -m mogstored --docroot=/disks --httplisten=0.0.0.0:7500 " in init
    subprocess.run(["sh", "-n"], input=init, text=True, check=True)


@pytest.mark.slow
def test_load_that_is_cut_off_knows_what_was_acknowledged() -> None:
    from tests.crash.inspection import LEFTOVER, Findings, inspect
    from tests.crash.load import Load

    with ThreadPoolExecutor(1) as pool, Node(devices=("dev1",), checked=False) as node:
        load = Load(node.http, lambda: 0, seed=1)
        running = pool.submit(load.run, math.inf, None)
        wait_until(lambda: load.acknowledged() >= 50 or load.errors, "50 requests are answered")
        load.is_cut = True
        node.kill()
        names = running.result()
        assert load.errors == []
        changes = [change for name in names.values() for change in name.changes]
        answered = sum(change.answered is not None for change in changes)
        assert 50 <= answered == load.acknowledged() < len(changes)
        # The system has it all.
        findings = Findings()
        inspect(node.docroot / "dev1", names, 0, findings)
        assert set(findings.counts) <= {LEFTOVER}, findings.examples(findings.counts)


@pytest.mark.slow
def test_node_that_goes_away_by_itself_is_an_error_of_the_load() -> None:
    from tests.crash.load import Load

    with ThreadPoolExecutor(1) as pool, Node(devices=("dev1",), checked=False) as node:
        load = Load(node.http, lambda: 0, seed=1)
        running = pool.submit(load.run, math.inf, None)
        wait_until(load.acknowledged, "a request is answered")
        node.kill()
        running.result()
    assert load.errors


@pytest.mark.parametrize("may_lose_clients", [False, True])
def test_connection_that_is_reset_is_an_error_where_there_is_no_network(
    may_lose_clients: bool,
) -> None:
    from tests.crash.load import Load

    load = Load(("127.0.0.1", 1), lambda: 0, seed=1, may_lose_clients=may_lose_clients)
    # Nothing listens there.
    load.run(0.0, None)
    ended, others = (load.lost, load.errors) if may_lose_clients else (load.errors, load.lost)
    # The one of files that are changed in place among them.
    assert len(ended) == CLIENTS + 1
    assert others == []


def kill(monkeypatch: pytest.MonkeyPatch, level: str) -> list[Result]:
    """Judge two kills, whose only file was written, and not flushed after its first half."""
    from tests.crash import machine
    from tests.crash.inspection import Findings
    from tests.crash.record import Record
    from tests.crash.recorder import EVENT

    def make_image(_kind: str, image: Path) -> None:
        image.write_bytes(bytes(16 * KIB))

    def kill_one(*arguments: Any) -> tuple[Any, Any, Record]:
        log = arguments[3] / "record"
        events = [(0, b"a" * 4 * KIB), (0, b""), (8 * KIB, b"b" * 4 * KIB)]
        log.write_bytes(b"".join(EVENT.pack(offset, len(data)) + data for offset, data in events))
        return SimpleNamespace(acknowledged=lambda: 5, errors=[], lost=["1", "2"]), {}, Record(log)

    def look_at(_kind: str, mount_point: Path, _names: object, moment: int) -> Findings:
        assert moment == 3
        content = mount_point.with_suffix(".img").read_bytes()
        assert content.startswith(b"a" * 4 * KIB)
        findings = Findings()
        if b"b" not in content:
            findings.add(Verdict.LOST.value, "b")
        return findings

    for name, fake in (("make_image", make_image), ("_kill", kill_one), ("look_at", look_at)):
        monkeypatch.setattr(machine, name, fake)
    return machine.try_out(cast("Any", None), level, "ext4", kills=2, seed=1)


def test_cache_that_is_kept_loses_nothing_and_one_that_is_lost_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, lost = kill(monkeypatch, "full")
    assert kept.row()[:8] == ["kept", 2, 4, "full", "ext4", 2, 2, 10]
    assert lost.row()[:8] == ["lost", 2, 4, "full", "ext4", 16, 2, 10]
    assert kept.is_right()
    assert not lost.is_right()
    assert 0 < lost.findings.counts[Verdict.LOST.value] < 16
    assert lost.faults()


def test_without_durability_losses_are_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, lost = kill(monkeypatch, "none")
    assert not kept.is_right(), "a check that finds nothing proves nothing"
    assert lost.is_right()
