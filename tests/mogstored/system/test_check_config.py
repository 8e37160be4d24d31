"""--check-config: everything that is said and everything that is wrong, and nothing started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.program import run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name / "dev1").mkdir(parents=True)
    return tmp_path.resolve()


def test_good_configuration_starts_nothing(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addr = f"127.0.0.1:{taken.getsockname()[1]}"
        file = place / "node.conf"
        file.write_text(f"docroot = {place}/a\npidfile = {place}/pid\nmgmtlisten = {addr}\n")
        ended = run(["--check-config", "-c", str(file), "--daemonize", f"--httplisten={addr}"])
    assert ended.returncode == 0
    assert ended.stderr == "mogstored: errors: 0, warnings: 0\n"
    shown = ended.stdout.splitlines()
    for line in (
        f"# from {file}",
        f"docroot = {place}/a",
        f"httplisten = {addr}",
        f"mgmtlisten = {addr}",
        f"pidfile = {place}/pid",
        "daemonize = yes",
        "maxconns = 10000",
        "require_mount = no",
    ):
        assert line in shown
    assert not (place / "pid").exists()
    assert list((place / "a" / "dev1").iterdir()) == []


def test_every_problem_is_shown_with_file_and_line(place: Path) -> None:
    first, second = place / "1.conf", place / "2.conf"
    first.write_text(f"colour = red\ndocroot = {place}/a\nmaxconns = x\nhttplisten = 1\n")
    second.write_text(f"httplisten = foo:1\n\ndocroot = {place}/a\n")
    ended = run(["--check-config", "-c", str(first), "-c", str(second), "--httplisten=2"])
    assert ended.returncode == 1
    said = ended.stderr.splitlines()
    expected = [
        f"WARNING: {first}:1: unknown key 'colour'",
        f"{first}:3: maxconns = x: ",
        f"{second}:1: httplisten = foo:1: ",
        "--httplisten=2: ",
        "several --config are only allowed with --multi",
        f"{second}:3: docroot = {place}/a: ",
        "errors: 5, warnings: 1",
    ]
    assert len(said) == len(expected)
    for line, start in zip(said, expected, strict=True):
        assert line.startswith(f"mogstored: {start}")


def test_warnings_alone_are_no_failure(place: Path) -> None:
    file = place / "node.conf"
    file.write_text(f"docroot = {place}/a\ncolour = red\n")
    ended = run(["--check-config", "-c", str(file)])
    assert ended.returncode == 0
    assert f"{file}:2" in ended.stderr
    assert "errors: 0, warnings: 1" in ended.stderr


def test_each_service_is_shown(place: Path) -> None:
    for name in ("a", "b"):
        content = f"docroot = {place}/{name}\nhttplisten = 127.0.0.1:0\nmaxconns = 5\n"
        (place / f"{name}.conf").write_text(content)
    files = [f"--config={place}/{name}.conf" for name in ("a", "b")]
    ended = run(["--check-config", "--multi", *files])
    assert ended.returncode == 0
    shown = ended.stdout.splitlines()
    assert shown.index(f"docroot = {place}/a") < shown.index(f"docroot = {place}/b")
    assert "maxconns = 10" in shown


def test_relative_paths_are_shown_when_detaching(place: Path) -> None:
    ended = run(["--check-config", "-d", "--docroot=a"], cwd=place, env={"PATH": "/usr/bin::/bin"})
    assert ended.returncode == 1
    said = ended.stderr.splitlines()
    assert said[0] == "mogstored: docroot=a must use an absolute path"
    assert said[1] == "mogstored: PATH environment contains relative path: "
    assert "relative paths are incompatible with --daemonize" in said[2]


def test_a_command_line_that_cannot_be_parsed_is_not_checked(place: Path) -> None:
    assert run(["--check-config", "--nonsense"]).returncode == 64
