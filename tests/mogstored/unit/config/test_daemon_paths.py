"""Relative paths with --daemonize: each is named, and the error comes last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mogstored.config import Option, load
from mogstored.config.daemon_paths import SUMMARY, objections


def test_nothing_to_object_to() -> None:
    well = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "relative"}
    assert objections(["/etc/a", "/etc/b"], ["/srv/a"], "/run/pid", well) == []
    assert objections([], ["/srv/a"], None, {"PATH": "/bin"}) == []


def test_every_relative_path_is_named_as_typed() -> None:
    found = objections(["a.conf", "/b.conf", "./c"], ["srv", "/srv"], "pid", {"PATH": "/bin"})
    assert found == [
        "config=a.conf must use an absolute path",
        "config=./c must use an absolute path",
        "docroot=srv must use an absolute path",
        "pidfile=pid must use an absolute path",
        "relative paths are incompatible with --daemonize",
    ]


@pytest.mark.parametrize(
    ("path", "elements"),
    [
        (":/bin", [""]),
        ("/bin:", [""]),
        ("/a::/b", [""]),
        ("a::b", ["a", "", "b"]),
        (".:/bin", ["."]),
        ("/bin:.", ["."]),
        ("/bin:..:/usr/bin", [".."]),
        ("/bin:usr/bin", ["usr/bin"]),
        ("", [""]),
        ("~/bin:/bin", ["~/bin"]),
    ],
)
def test_elements_of_path(path: str, elements: list[str]) -> None:
    found = objections([], [], None, {"PATH": path})
    assert found == [f"PATH environment contains relative path: {it}" for it in elements] + [
        SUMMARY
    ]


def test_path_that_is_not_set() -> None:
    assert objections([], [], None, {}) == ["PATH environment is not set", SUMMARY]


@pytest.mark.parametrize(
    ("access_log", "is_fine"),
    [(None, True), ("/log", True), ("syslog", True), ("log", False), ("-", False)],
)
def test_access_log(access_log: str | None, is_fine: bool) -> None:
    found = objections([], [], None, {"PATH": "/bin"}, access_log)
    wrong = [f"access_log={access_log} must use an absolute path", SUMMARY]
    assert found == ([] if is_fine else wrong)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory that holds `docs`, and `node.conf` that names it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "node.conf").write_text("docroot = docs\npidfile = pid\ndaemonize\n")
    return tmp_path.resolve()


def test_all_findings_are_one_error_of_a_start(here: Path) -> None:
    _, diagnostics = load([Option("config", "node.conf")], {"PATH": "bin"})
    assert diagnostics.lines() == [
        "config=node.conf must use an absolute path",
        "docroot=docs must use an absolute path",
        "pidfile=pid must use an absolute path",
        "PATH environment contains relative path: bin",
        SUMMARY,
    ]
    assert diagnostics.errors == 1


def test_relative_paths_are_fine_in_the_foreground(here: Path) -> None:
    options = [Option("config", "node.conf"), Option("docroot", "./docs")]
    (here / "node.conf").write_text("docroot = docs\npidfile = pid\ndaemonize = no\n")
    config, diagnostics = load(options, {"PATH": ".:"})
    assert diagnostics.lines() == []
    assert config.services[0].docroot == os.path.join(here, "docs")


def test_a_relative_docroot_is_named_though_it_is_missing(here: Path) -> None:
    _, diagnostics = load(
        [Option("daemonize", "yes"), Option("docroot", "missing")], {"PATH": "/bin"}
    )
    said = diagnostics.lines()
    assert said == [
        "--docroot=missing: No such file or directory (ENOENT)",
        "docroot=missing must use an absolute path",
        SUMMARY,
    ]
