"""Names that are not UTF-8, in everything that the node prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon import Node
from tests.support.program import run

ODD = os.fsdecode(b"data\xe9\n")
SHOWN = r"data\xe9\n"

# Python's stdout is as strict as this in most locales.
STRICT = {"PYTHONIOENCODING": "utf-8:strict"}
ASCII = {"PYTHONIOENCODING": "ascii:strict"}


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / ODD
    try:
        (path / "dev1").mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"this file system takes no such name: {error}")
    return path


@pytest.mark.parametrize("env", [STRICT, ASCII], ids=["utf-8", "ascii"])
def test_check_config(docroot: Path, env: dict[str, str]) -> None:
    ended = run(["--check-config", f"--docroot={docroot}", "--httplisten=127.0.0.1:0"], env=env)
    assert ended.returncode == 0, ended.stderr
    line = f"docroot = {docroot.parent}/{SHOWN}  # escaped, not the name itself"
    assert line in ended.stdout.splitlines()


@pytest.mark.parametrize("env", [STRICT, ASCII], ids=["utf-8", "ascii"])
@pytest.mark.parametrize(
    "argument",
    [
        "{}",
        "--{}",
        "--docroot=/nowhere/{}",
        "--config=/nowhere/{}",
        "--maxconns={}",
        "--httplisten={}",
        "--pidfile=/nowhere/{}",
        "--server={}",
    ],
)
def test_complaint(tmp_path: Path, argument: str, env: dict[str, str]) -> None:
    ended = run(
        [f"--docroot={tmp_path}", "--httplisten=127.0.0.1:0", argument.format(ODD)], env=env
    )
    assert ended.returncode in {1, 64}
    assert ended.stderr.startswith("mogstored: ")
    assert ended.stderr.count("\n") == 1
    assert SHOWN in ended.stderr


def test_line_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "node.conf"
    file.write_bytes(b"caf\xe9 = 1\ndocroot = /nowhere/\xe9\n")
    said = run(["-c", str(file), "--check-config"], env=STRICT).stderr
    assert r"unknown key 'caf\xe9'" in said
    assert r"docroot = /nowhere/\xe9: No such file or directory" in said


@pytest.mark.parametrize("option", ["--help", "--usage", "--nonsense"])
def test_name_of_the_program(tmp_path: Path, option: str) -> None:
    program = tmp_path / ODD
    program.write_text("import sys; from mogstored.cli import main; sys.exit(main())")
    ended = subprocess.run(
        [sys.executable, "-P", program, option],
        capture_output=True,
        env={**os.environ, **STRICT},
        check=False,
    )
    assert b"Traceback" not in ended.stderr
    assert rb"data\xe9" in ended.stderr + ended.stdout


@pytest.mark.parametrize("format_name", ["text", "json"])
def test_log_of_a_node(docroot: Path, format_name: str) -> None:
    extra = [f"--docroot={docroot}", f"--log-format={format_name}", "--require-mount"]
    with Node(names_docroot=False, extra=extra, mgmt=True) as node:
        line = node.wait_for_log("is not mounted")
    message = json.loads(line)["message"] if format_name == "json" else line
    assert f"/{SHOWN}/dev1 is not mounted" in message


@pytest.mark.parametrize("command", ["check-disks", "device"])
def test_json_of_a_command(docroot: Path, command: str) -> None:
    ended = run([command, "--json", str(docroot)], env=STRICT)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["docroot"] == f"{docroot.parent}/{SHOWN}"
    assert all(
        text.isprintable() for device in found["devices"] for text in map(str, device.values())
    )
