"""GNU make and BSD make read the Makefile, which refuses an unsuitable Python with advice."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project._tree import ROOT

MAKES = [name for name in ("make", "gmake", "bmake") if shutil.which(name)]

pytestmark = pytest.mark.skipif(not MAKES, reason="no make on this system")


def make(program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder of its own, without the variables of an outer make."""
    clean = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "tox.ini"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def fake_python(folder: Path, script: str) -> Path:
    path = folder / "fake-python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("program", MAKES)
@pytest.mark.parametrize(
    "target",
    [
        "run",
        "test",
        "kqueue",
        "free-threaded",
        "lint",
        "types",
        "site",
        "bench",
        "bench-budgets",
        "bench-quick",
        "clean",
        "dist",
        "probe",
        "sbom",
        "smoke",
        "version",
    ],
)
def test_target_can_be_made(program: str, target: str, folder: Path) -> None:
    planned = make(program, folder, "-n", target)
    assert planned.returncode == 0, planned.stdout


@pytest.mark.parametrize("program", MAKES)
def test_run_serves_where_its_curl_lines_point(program: str, folder: Path) -> None:
    planned = make(program, folder, "-n", "run", "HTTP=127.0.0.9:1", "DOCROOT=elsewhere").stdout
    assert "curl -i http://127.0.0.9:1/dev1/0/000/000/0000000001.fid" in planned
    assert "--docroot elsewhere" in planned
    assert "--httplisten 127.0.0.9:1" in planned


@pytest.mark.parametrize("program", MAKES)
def test_tag_of_another_version_is_refused(program: str, folder: Path) -> None:
    (folder / "mogstored").mkdir()
    (folder / "mogstored" / "__init__.py").write_text('__version__ = "3.2.1"\n')
    assert make(program, folder, "version", "TAG=v3.2.1").returncode == 0
    refused = make(program, folder, "version", "TAG=v3.2.0")
    assert refused.returncode != 0
    assert "the tag v3.2.0 is not v3.2.1" in refused.stdout


@pytest.mark.parametrize("program", MAKES)
@pytest.mark.parametrize(
    ("script", "advice"),
    [
        ("exit 127", "3.11 or newer"),
        ('case "$*" in *version_info*) exit 1;; --version) echo Python 3.9.2;; esac', "3.9.2"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "apt-get install python3-venv"),
    ],
    ids=["missing", "too old", "without venv"],
)
def test_poor_python_is_refused_with_advice(
    program: str, script: str, advice: str, folder: Path
) -> None:
    refused = make(program, folder, f"PYTHON={fake_python(folder, script)}", "run")
    assert refused.returncode != 0
    assert advice in refused.stdout
    assert not (folder / ".venv").exists()
