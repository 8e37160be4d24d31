"""`mogstored scrub` in this process: its lines, its choices and its exit status."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll.threads import ThreadRefused
from mogstored.scrub import main as module
from mogstored.scrub.arguments import Options, parse
from mogstored.scrub.main import find_devices, main
from mogstored.scrub.walk import Unmounted, Walk
from tests.support.rot import store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Output = pytest.CaptureFixture[str]
STATUS = os.stat


@pytest.fixture(autouse=True)
def _keeps_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    for name in ("dev2", "dev10", "dev1", "dev01", "other"):
        (tmp_path / name).mkdir()
    return tmp_path


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> threading.Thread:
        raise ThreadRefused("no")

    monkeypatch.setattr(module, "start_thread", refuse)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["dev1"], Options(path="dev1", rate=math.inf, json=False)),
        (["--rate=0.5", "--json", "/x"], Options(path="/x", rate=0.5, json=True)),
        (["--rate", "1000000", "/x"], Options(path="/x", rate=1e6)),
    ],
    ids=str,
)
def test_arguments(arguments: list[str], expected: Options) -> None:
    assert parse("scrub", arguments) == expected


@pytest.mark.parametrize("word", ["0", "-1", "1000000.1", "inf", "nan", "x", ""])
def test_rate_that_is_none(word: str, capsys: Output) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("scrub", [f"--rate={word}", "dev1"])
    assert capsys.readouterr().err == (
        f"scrub: argument --rate: '{word}' is no number of MiB above 0; try 'scrub --help'\n"
    )


def test_abbreviations_are_no_options(capsys: Output) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("scrub", ["--js", "dev1"])
    assert "unrecognized arguments: --js" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["-h", "-?", "--help"])
def test_help_has_its_lines_as_written(word: str, capsys: Output) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse("scrub", [word])
    text = capsys.readouterr().out
    assert "  --rate MIB " in text
    assert "\nDOCROOT is a directory that holds dev1, dev2, ...; DEVICE is one of these." in text


def test_devices_by_number(docroot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [f"{docroot}/{name}" for name in ("dev1", "dev2", "dev10")]
    assert find_devices(str(docroot)) == every
    assert find_devices(f"{docroot}//") == every
    assert find_devices(f"{docroot}/dev10/") == [f"{docroot}/dev10"]
    monkeypatch.chdir(docroot / "dev2")
    assert find_devices(".") == ["."]


def test_root_may_be_the_docroot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "listdir", lambda path: ["dev3"] if path == "/" else [])
    assert find_devices("/") == ["/dev3"]


def test_path_without_devices(docroot: Path, capsys: Output) -> None:
    assert main("scrub", [f"{docroot}/other"]) == 2
    assert main("scrub", [f"{docroot}/dev3"]) == 2
    assert capsys.readouterr() == (
        "",
        (
            f"scrub: {docroot}/other is no device, and holds none: no directory dev1, dev2...\n"
            f"scrub: {docroot}/dev3: No such file or directory (ENOENT)\n"
        ),
    )


def test_summary_of_sound_devices(docroot: Path, capsys: Output) -> None:
    (docroot / "dev1/a").write_bytes(bytes(3 << 19))
    (docroot / "dev2/b").write_bytes(b"b")
    assert main("scrub", [str(docroot)]) == 0
    line, errors = capsys.readouterr()
    assert re.sub(r"[0-9.]+ s:", "S s:", line) == (
        "2 files on 3 devices, 1.5 MiB in S s: 0 sound, 2 unchecked, 0 passed over, 0 mismatch,"
        " 0 unreadable, 0 bad checksum\n"
    )
    assert errors == ""


def test_summary_as_json(docroot: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    store(docroot / "dev1/a", b"abc")
    clock = iter([1000.0, 1002.00049])
    monkeypatch.setattr(module, "monotonic", lambda: next(clock))
    assert main("scrub", ["--json", str(docroot)]) == 0
    line, errors = capsys.readouterr()
    assert errors == ""
    assert json.loads(line)["summary"] == {
        "devices": 3,
        "files": 1,
        "bytes": 3,
        "seconds": 2.0,
        "whole": True,
        "sound": 0,
        "unchecked": 1,
        "passed_over": 0,
        "mismatch": 0,
        "unreadable": 0,
        "bad_checksum": 0,
    }


@pytest.mark.parametrize("has_threads", [True, False])
def test_findings(
    docroot: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, *, has_threads: bool
) -> None:
    if not has_threads:
        refuse_threads(monkeypatch)
    store(docroot / "dev1/a", b"abc")
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    path = f"{docroot}/dev1/a"
    assert main("scrub", [str(docroot)]) == 1
    finding, summary = capsys.readouterr().out.splitlines()
    text = "expected 3 bytes, found the end of the file at 0"
    assert finding == f"{path}: unreadable: {text}"
    assert summary.endswith(" 1 unreadable, 0 bad checksum")
    assert main("scrub", ["--json", str(docroot)]) == 1
    finding, _ = capsys.readouterr().out.splitlines()
    assert json.loads(finding)["finding"] == {
        "path": path,
        "kind": "unreadable",
        "expected": "3 bytes",
        "found": "the end of the file at 0",
    }


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unmounted(), "unmounted before its end"),
        (OSError(5, "Input/output error"), "Input/output error (EIO)"),
    ],
    ids=str,
)
def test_device_that_fails_does_not_end_the_others(
    docroot: Path,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    (docroot / "dev2/b").touch()
    real = Walk.entries

    def entries(self: Walk, after: bytes = b"") -> Any:
        if self.root.endswith(b"/dev1"):
            raise error
        return real(self, after)

    monkeypatch.setattr(Walk, "entries", entries)
    assert main("scrub", [str(docroot)]) == 1
    output, errors = capsys.readouterr()
    assert errors == f"scrub: {docroot}/dev1: {said}\n"
    assert output.startswith("1 files on 3 devices, ")
    assert output.endswith("; not read to the end\n")
    assert main("scrub", ["--json", str(docroot)]) == 1
    assert json.loads(capsys.readouterr().out)["summary"]["whole"] is False


def test_devices_of_a_disk_share_a_reader(docroot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = find_devices(str(docroot))
    assert module._by_disk(devices) == [devices]
    missing = f"{docroot}/dev3"
    one, two, ten = devices
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", lambda path: STATUS("/proc" if path == two else path))
        groups = module._by_disk([*devices, missing])
    assert groups == [[one, ten], [two], [missing]]


def test_signal_ends_it_before_the_next_file(
    docroot: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_threads(monkeypatch)
    for name in ("dev1/a", "dev1/b", "dev2/c"):
        (docroot / name).touch()
    real = os.open

    def interrupted(path: bytes, *arguments: Any, **options: Any) -> int:
        if path == os.fsencode(docroot / "dev1/a"):
            signal.raise_signal(signal.SIGTERM)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", interrupted)
    assert main("scrub", [str(docroot)]) == 130
    line = capsys.readouterr().out
    assert line.startswith("1 files on 3 devices, ")
    assert line.endswith(" 0 bad checksum; not read to the end\n")


def test_second_signal_ends_it_at_once(
    docroot: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    del capsys
    refuse_threads(monkeypatch)
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)

    def interrupted(*_: object) -> Any:
        signal.raise_signal(signal.SIGINT)
        assert exits == []
        signal.raise_signal(signal.SIGINT)
        assert exits == [130]
        return iter(())

    monkeypatch.setattr(Walk, "entries", interrupted)
    main("scrub", [str(docroot / "dev1")])
    assert exits == [130]


def test_reader_of_the_output_that_has_gone_ends_it(docroot: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for name in "ab":
        store(docroot / f"dev1/{name}", b"x")
    pid = os.fork()
    if not pid:
        status = 99
        try:
            os.dup2(writer, 1)
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
            os.preadv = lambda *_: 0
            refuse_threads(pytest.MonkeyPatch())
            status = main("scrub", [str(docroot)])
            sys.stdout.flush()
        finally:
            os._exit(status)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130


def test_rate_is_kept(docroot: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    del capsys
    refuse_threads(monkeypatch)
    (docroot / "dev1/a").write_bytes(bytes(4 << 20))
    rests: list[float] = []

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            rests.append(timeout or 0.0)
            return False

    fake = SimpleNamespace(Event=Event, Lock=threading.Lock)
    monkeypatch.setattr(module, "threading", fake)
    assert main("scrub", ["--rate=1", str(docroot / "dev1")]) == 0
    # Time that was used to read counts.
    assert 0.0 < sum(rests) < 4 * 4
    rests.clear()
    assert main("scrub", [str(docroot / "dev1")]) == 0
    assert rests == []


def test_progress_is_shown_on_a_terminal_and_removed(
    docroot: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    (docroot / "dev1/a").write_bytes(bytes(3 << 20))
    joins: list[float] = []

    def start(work: Callable[[], None], _name: str) -> SimpleNamespace:
        work()
        return SimpleNamespace(is_alive=lambda: not joins, join=joins.append)

    monkeypatch.setattr(module, "start_thread", start)
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda _: True, raising=False)
    clock = iter([1000.0, 1002.0, 1002.0])
    monkeypatch.setattr(module, "monotonic", lambda: next(clock))
    assert main("scrub", [str(docroot / "dev1")]) == 0
    shown = capsys.readouterr().err
    assert shown == "\r\x1b[K1 files, 3 MiB, 1.5 MiB/s, 0 findings\r\x1b[K"
    assert joins == [0.5]
    joins.clear()
    clock = iter([1000.0, 1000.0, 1000.0])
    main("scrub", [str(docroot / "dev1")])
    assert ", 3000.0 MiB/s, " in capsys.readouterr().err, "a clock may stand still"
    joins.clear()
    clock = iter([1000.0, 1002.0])
    assert main("scrub", ["--json", str(docroot / "dev1")]) == 0
    assert capsys.readouterr().err == ""
