"""The build that mypyc compiles: when it is made, when it is refused, and what it holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from mogstored.compiled import is_compiled
from tests.project._tree import ROOT


def build(
    tmp_path: Path, value: str, target: str = "wheel", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Build the checkout into `tmp_path`, with MOGSTORED_COMPILE set to `value`."""
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "MOGSTORED_COMPILE": value, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line of a build that failed."""
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.skipif("MOGSTORED_EXPECT_COMPILED" not in os.environ, reason="a plain run")
def test_this_run_is_of_a_compiled_build() -> None:
    assert is_compiled()


@pytest.mark.parametrize("value", ["", "0"])
def test_a_build_that_is_not_asked_to_compile_is_pure(tmp_path: Path, value: str) -> None:
    assert build(tmp_path, value).returncode == 0
    (wheel,) = tmp_path.iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]


def test_any_other_value_is_refused(tmp_path: Path) -> None:
    assert "MOGSTORED_COMPILE='yes' is neither 1" in said(build(tmp_path, "yes"))


def asked_of_pip(value: str, call: str) -> str:
    """Ask the build backend as pip does."""
    asked = subprocess.run(
        [sys.executable, "-c", f"import hatchling.build as b; print({call})"],
        cwd=ROOT,
        env={**os.environ, "MOGSTORED_COMPILE": value},
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout + asked.stderr


def test_only_a_compiled_build_needs_more_than_hatchling() -> None:
    assert asked_of_pip("", "b.get_requires_for_build_wheel()").strip() == "[]"
    assert "mypy" in asked_of_pip("1", "b.get_requires_for_build_wheel()")


def test_an_editable_installation_is_refused(tmp_path: Path) -> None:
    refused = asked_of_pip("1", f"b.build_editable({str(tmp_path)!r})")
    assert "MOGSTORED_COMPILE=1 and an editable installation exclude each other" in refused
    assert list(tmp_path.iterdir()) == []


def test_a_missing_mypy_is_named(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "mypyc").mkdir(parents=True)
    (hidden / "mypyc" / "__init__.py").write_text("raise ImportError('not here')\n")
    refused = said(build(tmp_path / "out", "1", PYTHONPATH=str(hidden), PYTHONSAFEPATH=""))
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert "without its lock" in refused
    else:
        assert "MOGSTORED_COMPILE=1 needs mypy, which is not installed" in refused


def can_compile() -> bool:
    if sysconfig.get_config_var("Py_GIL_DISABLED") or shutil.which("cc") is None:
        return False
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return False
    asked = [sys.executable, "-c", "import mypyc, setuptools"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


needs_mypyc = pytest.mark.skipif(not can_compile(), reason="no mypyc, or no C compiler for it")


@needs_mypyc
def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    refused = said(build(tmp_path, "1", CC="no-such-compiler"))
    assert "MOGSTORED_COMPILE=1 needs a C compiler, and there is no no-such-compiler" in refused


def test_the_source_archive_carries_the_hook(tmp_path: Path) -> None:
    assert build(tmp_path, "", "sdist").returncode == 0
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert "hatch_build.py" in names
