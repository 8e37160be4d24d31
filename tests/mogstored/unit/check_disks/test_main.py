"""The arguments of `mogstored check-disks`, its table and its JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mogstored.check_disks import main as module
from mogstored.check_disks.apart import NoProcess
from mogstored.check_disks.arguments import Options, parse
from mogstored.check_disks.exercise import STEPS, Result
from mogstored.check_disks.main import find_devices, main

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Output = pytest.CaptureFixture[str]
_MIB = 1 << 20
_SOUND = {
    "create": 0.001,
    "write": 0.5,
    "sync": 0.75,
    "read": 1e-7,
    "rename": 0.0123456789,
    "delete": 2.0,
}


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    for name in ("dev2", "dev10", "dev1", "dev01", "other"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/d"], Options(docroot="/d", size=64 << 20, timeout_s=60)),
        (["/d", "--parallel", "--json"], Options(docroot="/d", parallel=True, json=True)),
        (
            ["/d", "dev2", "dev1", "dev2", "--timeout=86400"],
            Options(docroot="/d", devices=("dev2", "dev1"), timeout_s=86400),
        ),
        (["/d", "--timeout=1", "--size=1"], Options(docroot="/d", size=1, timeout_s=1)),
        *(
            (["/d", f"--size={word}"], Options(docroot="/d", size=size))
            for word, size in [
                ("999999999999999", 999_999_999_999_999),
                ("7B", 7),
                ("3K", 3 << 10),
                ("3M", 3 << 20),
                ("3GB", 3 << 30),
                ("3TiB", 3 << 40),
            ]
        ),
    ],
    ids=str,
)
def test_arguments(arguments: list[str], expected: Options) -> None:
    assert parse("check-disks", arguments) == expected


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--size=0", "argument --size: '0' is no size above 0, such as 64M"),
        ("--size=1P", "argument --size: '1P' is no size above 0, such as 64M"),
        (
            "--size=1000000000000000",
            "argument --size: '1000000000000000' is no size above 0, such as 64M",
        ),
        (
            "--timeout=0",
            "argument --timeout: '0': not a whole number of seconds of at least 1",
        ),
        ("--timeout=86401", "argument --timeout: '86401': more than 86400"),
        ("--par", "unrecognized arguments: --par"),
    ],
)
def test_wrong_arguments(argument: str, said: str, capsys: Output) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("check-disks", ["/d", argument])
    assert capsys.readouterr().err == f"check-disks: {said}; try 'check-disks --help'\n"


@pytest.mark.parametrize("word", ["-h", "-?", "--help"])
def test_help_has_its_lines_as_written(word: str, capsys: Output) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse("check-disks", [word])
    text = capsys.readouterr().out
    assert "\nFind out whether disks store what they are given.\n" in text
    assert "\nOn each device a file is created, written, synced, read back from the disk," in text
    assert "  DOCROOT " in text


def test_devices_by_number(docroot: Path) -> None:
    every = [docroot / name for name in ("dev1", "dev2", "dev10")]
    assert find_devices(str(docroot), ()) == every
    assert find_devices(str(docroot), ("dev10", "dev1")) == [every[0], every[2]]


def test_devices_that_are_missing(docroot: Path, capsys: Output) -> None:
    assert main("check-disks", [str(docroot), "dev1", "dev3"]) == 2
    assert main("check-disks", [f"{docroot}/x\n"]) == 2
    assert main("check-disks", [f"{docroot}/other"]) == 1
    assert capsys.readouterr() == (
        "",
        (
            f"check-disks: {docroot}/dev3: no such device (ENOENT)\n"
            f"check-disks: {docroot}/x\\n: No such file or directory (ENOENT)\n"
            f"check-disks: {docroot}/other has no device\n"
        ),
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Answer as if the last device had failed, the last one first; return the calls."""
    calls = []

    def check(
        devices: Sequence[Path], size: int, timeout_s: float, *, in_parallel: bool
    ) -> Iterator[tuple[Path, Result]]:
        calls.append((devices, size, timeout_s, in_parallel))
        *others, last = devices
        yield last, Result(size, {"create": 0.25, "write": 0.7}, "sync", "bad\n (EIO)")
        for each in others:
            yield each, Result(size, _SOUND)

    monkeypatch.setattr(module, "check_apart", check)
    return calls


def test_table(docroot: Path, capsys: Output, calls: list[tuple[Any, ...]]) -> None:
    arguments = [str(docroot), "dev1", "dev10", "--size=5M", "--timeout=7", "--parallel"]
    assert main("check-disks", arguments) == 1
    assert calls == [([docroot / "dev1", docroot / "dev10"], 5 * _MIB, 7, True)]
    output, errors = capsys.readouterr()
    assert errors == ""
    cells = [
        ["DEVICE", "create ms", "write MiB/s", "sync ms", "read MiB/s", "rename ms", "delete ms"],
        ["dev10", "250.0", "7.1", *["-"] * 4],
        ["dev1", "1.0", "4.0", "750.0", "5000000.0", "12.3", "2000.0"],
    ]
    verdicts = ["VERDICT", r"FAILED at sync: bad\n (EIO)", "ok"]
    assert output.splitlines() == [
        f"{name:11}{''.join(f'{cell:>13}' for cell in row)}  {verdict}"
        for (name, *row), verdict in zip(cells, verdicts, strict=True)
    ]


def test_line_of_a_device_does_not_wait_for_the_next(
    docroot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, lines = io.BytesIO(), []
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output))

    def check(devices: Sequence[Path], *_: object, **__: object) -> Iterator[tuple[Path, Result]]:
        for each in devices:
            lines.append(output.getvalue().count(b"\n"))
            yield each, Result(7, _SOUND)

    monkeypatch.setattr(module, "check_apart", check)
    assert main("check-disks", [str(docroot)]) == 0
    assert lines == [1, 2, 3]


def test_json(docroot: Path, capsys: Output, calls: list[tuple[Any, ...]]) -> None:
    assert main("check-disks", [str(docroot), "dev1", "dev10", "--size=5M", "--json"]) == 1
    assert calls[0][3] is False
    text, errors = capsys.readouterr()
    assert errors == ""
    assert text.startswith('{\n "schema": 1,\n "docroot"')
    assert json.loads(text) == {
        "schema": 1,
        "docroot": str(docroot),
        "devices": [
            {
                "device": "dev1",
                "path": f"{docroot}/dev1",
                "ok": True,
                "failed": None,
                "reason": None,
                "size_bytes": 5 * _MIB,
                "seconds": _SOUND | {"read": 0.0, "rename": 0.012346},
                "write_mib_per_second": 4.0,
                "read_mib_per_second": 5e6,
            },
            {
                "device": "dev10",
                "path": f"{docroot}/dev10",
                "ok": False,
                "failed": "sync",
                "reason": "bad\n (EIO)",
                "size_bytes": 5 * _MIB,
                "seconds": {"create": 0.25, "write": 0.7},
                "write_mib_per_second": 7.1,
            },
        ],
    }


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_results_before_a_process_was_refused(
    docroot: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    def check(devices: Sequence[Path], *_: object, **__: object) -> Iterator[tuple[Path, Result]]:
        yield devices[0], Result(7, dict(_SOUND))
        raise NoProcess("pids.max is 3")

    monkeypatch.setattr(module, "check_apart", check)
    assert main("check-disks", [str(docroot), *form]) == 1
    text, errors = capsys.readouterr()
    assert errors == "check-disks: cannot start a check: pids.max is 3\n"
    if form:
        shown = [(each["device"], each["ok"]) for each in json.loads(text)["devices"]]
    else:
        shown = [(line.split()[0], line.endswith(" ok")) for line in text.splitlines()[1:]]
    assert shown == [("dev1", True)]


def test_devices_that_work(docroot: Path, capsys: Output) -> None:
    assert main("check-disks", [str(docroot), "--size=10"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["dev1", "dev2", "dev10"]
    assert all(line.endswith("  ok") and len(line.split()) == len(STEPS) + 2 for line in lines)
