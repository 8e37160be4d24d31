"""Scripts install from the sources that the machine's package manager has, and name none."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest

from tests.project._tree import ROOT
from tests.support import debian_archive

MIRROR = re.compile(
    r"\b(deb|ftp[\w.]*|httpredir|security|snapshot)\.debian\.org\b|archive\.ubuntu\.com"
    r"|\b(test\.)?pypi\.org/simple|files\.pythonhosted\.org|\bpkg\.freebsd\.org\b"
    r"|\b(cdn|ftp)\.(net|open)bsd\.org\b"
)
FOLDERS = (".ci", "bench", "packaging", "tests", "vm")


def test_no_script_names_a_mirror() -> None:
    paths = [ROOT / name for name in ("Makefile", "tox.ini")]
    for folder in FOLDERS:
        paths += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    text = {
        path.relative_to(ROOT): path.read_text(encoding="utf-8", errors="replace")
        for path in paths
        if not {"results", "__pycache__"} & set(path.parts) and path != Path(__file__).resolve()
    }
    assert [str(path) for path, content in text.items() if MIRROR.search(content)] == []


@pytest.mark.parametrize(
    "line",
    ["deb http://deb.debian.org/debian sid main", "https://pypi.org/simple/", "pkg.freebsd.org"],
)
def test_mirror_is_noticed(line: str) -> None:
    assert MIRROR.search(line)


def test_archive_is_that_of_the_machines_own_release(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = "http://other.example sid main\nhttp://own.example/debian trixie main\n"
    release = {"ID": "debian", "VERSION_CODENAME": "trixie"}
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, sources)
    )
    monkeypatch.delenv(debian_archive.MIRROR, raising=False)
    assert debian_archive.archive() == "http://own.example/debian"
    release["VERSION_CODENAME"] = "bookworm"
    assert debian_archive.archive() is None
    monkeypatch.setenv(debian_archive.MIRROR, "http://named.example")
    assert debian_archive.archive() == "http://named.example"
