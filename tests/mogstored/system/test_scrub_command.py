"""`mogstored scrub`: what it finds, what it does not report, and how it ends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from mogpoll.system.attributes import set_attribute
from tests.support.attributes import takes_attributes
from tests.support.daemon import Node
from tests.support.disks import small_disk
from tests.support.http import Client
from tests.support.puts import assert_created, put
from tests.support.rot import plant, store, store_many
from tests.support.slow_disk import slow_disk
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

needs_attributes = pytest.mark.usefixtures("_attributes")


@pytest.fixture
def _attributes(tmp_path: Path) -> None:
    if not takes_attributes(tmp_path):
        pytest.skip("the file system has no attributes")


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    path = tmp_path / "docroot"
    (path / "dev1").mkdir(parents=True)
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "mogstored", "scrub", *map(str, arguments)]


def scrub(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=PATIENCE_S * 4
    )


def scrub_json(path: Path) -> tuple[list[dict[str, str]], dict[str, Any], int]:
    """Return the findings, the summary and the exit status."""
    done = scrub("--json", path)
    assert done.stderr == ""
    *findings, summary = map(json.loads, done.stdout.splitlines())
    return [each["finding"] for each in findings], summary["summary"], done.returncode


@needs_attributes
def test_finds_all_that_has_rotten_and_nothing_else(docroot: Path) -> None:
    source = random.Random(15)
    paths = []
    for device in ("dev1", "dev2"):
        paths += store_many(docroot / device, 1000, source, ["md5", "sha256", "md5"])
    rotten = plant(source.sample(paths, 60), source)
    findings, summary, status = scrub_json(docroot)
    assert {each["path"] for each in findings} == {str(path) for path in rotten}
    assert len(findings) == len(rotten)
    assert {each["kind"] for each in findings} == {"mismatch"}
    assert all(each["expected"] != each["found"] for each in findings)
    assert status == 1
    assert (summary["files"], summary["sound"], summary["mismatch"]) == (2000, 1940, 60)
    assert summary["whole"] is True


@needs_attributes
def test_sound_device(docroot: Path) -> None:
    store(docroot / "dev1/a", b"a", "md5")
    store(docroot / "dev1/b", b"bc")
    (docroot / "other").mkdir()
    done = scrub(docroot / "dev1")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith("2 files on 1 devices, 0.0 MiB in ")
    assert ": 1 sound, 1 unchecked, 0 passed over, 0 mismatch, " in line


@needs_attributes
def test_what_a_node_has_stored_is_sound(tmp_path: Path) -> None:
    del tmp_path
    with Node(extra=["--checksum-at-rest=sha256"], admin=False) as node:
        with Client(node.http) as client:
            for number in range(20):
                client.send(put(f"/dev{1 + number % 2}/0/{number}", bytes(number * 999)))
                assert_created(client.read_response())
        findings, summary, status = scrub_json(node.docroot)
    assert (findings, status) == ([], 0)
    assert summary["sound"] == 20


@needs_attributes
def test_hostile_names_and_attributes_stay_one_line_each(docroot: Path) -> None:
    device = docroot / "dev1"
    names = ["line\nbreak", "\x1b[31m", "\udcff\udc80", "a: mismatch: found b", "caf\xe9", " "]
    for name in names:
        path = store(device / name, b"x")
        with open(path, "r+b") as file:
            set_attribute(file.fileno(), "mogstored.md5", b"\xff\n\x1b[2J")
    done = scrub(device)
    *lines, _summary = done.stdout.splitlines()
    assert len(lines) == len(names)
    shown = r": bad checksum: expected a digest (md5), found \xff\n\x1b[2J"
    assert all(line.endswith(shown) and "\x1b" not in line for line in lines)
    findings, _, status = scrub_json(device)
    assert status == 1
    assert f"{device}/\\xff\\x80" in {each["path"] for each in findings}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--rate", "0", "dev1"],
        ["--rate", "x", "dev1"],
        ["--rate=nan", "dev1"],
        ["--rate=-1", "dev1"],
        ["--unknown", "dev1"],
        ["missing"],
        ["empty"],
        ["file"],
        ["dev1", "dev1"],
    ],
    ids=" ".join,
)
def test_wrong_arguments(tmp_path: Path, arguments: list[str]) -> None:
    for name in ("dev1", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    done = subprocess.run(
        command(*arguments), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_ends_with_its_summary(docroot: Path, number: signal.Signals) -> None:
    # Hours at this rate.
    with open(docroot / "dev1/large", "wb") as file:
        file.truncate(1 << 33)
    with subprocess.Popen(
        command("--json", "--rate", "0.5", docroot), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_until(lambda: psutil.Process(process.pid).num_threads() > 1, "it reads")
            process.send_signal(number)
            output, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 130
    summary = json.loads(output)["summary"]
    assert summary["whole"] is False
    assert summary["bytes"] < 1 << 30


def test_files_that_cannot_be_read_are_findings(tmp_path: Path) -> None:
    with slow_disk(tmp_path / "dev1") as disk:
        for number in range(3):
            (disk.path / f"{number}").write_bytes(bytes(number + 1))
        disk.fail(5, "read")
        findings, summary, status = scrub_json(disk.path)
        assert [each["path"] for each in findings] == [f"{disk.path}/{n}" for n in range(3)]
        assert {each["kind"] for each in findings} == {"unreadable"}
        assert findings[0]["found"] == "Input/output error (EIO) at 0"
        assert (status, summary["unreadable"]) == (1, 3)
        disk.release()
        assert scrub_json(disk.path)[2] == 0
        disk.fail(5, "readdir")
        findings, _, status = scrub_json(disk.path)
        assert [each["path"] for each in findings] == [f"{disk.path}/"]
        assert status == 1


def test_disk_that_is_unmounted_during_the_run(tmp_path: Path) -> None:
    path = tmp_path / "dev1"
    with small_disk(path, "size=64m"):
        if not takes_attributes(path):
            pytest.skip("the file system has no attributes")
        for number in range(200):
            store(path / f"{number:03d}", bytes(100_000), "md5")
        os.truncate(path / "000", 0)
        with subprocess.Popen(
            command("--rate", "1", path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stderr is not None
                assert process.stdout.readline().startswith(f"{path}/000: mismatch: ")
                wait_until(lambda: is_unmounted(path), "nothing is open between two files")
                (summary,) = process.stdout.readlines()
                errors = process.stderr.read()
                process.wait(PATIENCE_S)
            finally:
                process.kill()
                subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
        assert "; not read to the end" in summary
        assert "1 mismatch, 0 unreadable" in summary
        assert errors.endswith(f"{path}: unmounted before its end\n")
        assert process.returncode == 1


def is_unmounted(path: Path) -> bool:
    return subprocess.run(["umount", path], check=False, capture_output=True).returncode == 0


def test_user_without_permissions_gets_findings(docroot: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = store(docroot / "dev1/a", b"a")
    path.chmod(0)
    done = scrub(docroot)
    assert done.returncode == 1
    assert "unreadable: found Permission denied (EACCES)" in done.stdout


def test_help_says_how_it_ends() -> None:
    done = scrub("--help")
    assert done.returncode == 0
    assert "exit status" in done.stdout
