"""The node as a clone builds it, and the installed packages, which the suite runs against."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

import mogpoll
import mogstored
from tests.project._tree import ROOT, modules_of

in_tox = pytest.mark.skipif(
    "TOX_ENV_NAME" not in os.environ, reason="only tox installs the wheel before the tests"
)

# Where the wheel has the packages.
PLACES = [("mogpoll", "mogstored/vendor/"), ("mogstored", "")]
PAGE_SUFFIXES = {".html", ".css", ".js"}


def build(kind: str, into: Path) -> Path:
    """Build the checkout, without isolation and so without the network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (archive,) = into.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("wheel", tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def sdist_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """List the files of the sdist, without its top folder."""
    with tarfile.open(build("sdist", tmp_path_factory.mktemp("sdist"))) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def dist_info(wheel: zipfile.ZipFile, name: str) -> str:
    return wheel.read(f"mogstored-{mogstored.__version__}.dist-info/{name}").decode()


def headers(wheel: zipfile.ZipFile) -> Message:
    return Parser().parsestr(dist_info(wheel, "METADATA"))


@in_tox
@pytest.mark.parametrize("package", [mogpoll, mogstored], ids=lambda package: package.__name__)
def test_the_suite_imports_what_is_installed(package: object) -> None:
    imported = Path(str(getattr(package, "__file__", None)))
    assert imported.is_relative_to(sysconfig.get_path("purelib"))


@in_tox
@pytest.mark.parametrize("package", ["mogpoll", "mogstored"])
def test_processes_started_in_the_checkout_import_what_is_installed(package: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", f"import {package}; print({package}.__file__)"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(asked.stdout.strip()).is_relative_to(sysconfig.get_path("purelib"))


@in_tox
def test_the_console_script_is_installed_and_runs() -> None:
    script = Path(sysconfig.get_path("scripts"), "mogstored")
    asked = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr


def test_installed_version_is_the_packages_own() -> None:
    assert metadata.version("mogstored") == mogstored.__version__


def test_wheel_holds_nothing_at_the_top_that_is_mogpolls(wheel: zipfile.ZipFile) -> None:
    top_level = {name.partition("/")[0] for name in wheel.namelist()}
    stem = f"mogstored-{mogstored.__version__}"
    data = {f"{stem}.dist-info", f"{stem}.data"}
    assert top_level == {"mogstored", "mogstored-vendor.pth", *data}
    assert wheel.read("mogstored-vendor.pth") == b"mogstored/vendor\n"


def test_wheel_shares_manual_pages_and_completions(wheel: zipfile.ZipFile) -> None:
    prefix = f"mogstored-{mogstored.__version__}.data/data/share/"
    shared = {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)}
    assert shared == {
        "man/man1/mogstored.1",
        "man/man5/mogstored.conf.5",
        "bash-completion/completions/mogstored",
        "zsh/site-functions/_mogstored",
        "mogstored/mogstored.csh",
    }


@pytest.mark.parametrize(("package", "folder"), PLACES)
def test_wheel_holds_every_module_of_the_checkout(
    package: str, folder: str, wheel: zipfile.ZipFile
) -> None:
    modules = {folder + path.as_posix() for path in modules_of(package)}
    assert modules <= set(wheel.namelist())


def test_wheel_holds_the_parts_of_the_status_page(wheel: zipfile.ZipFile) -> None:
    folder = "mogstored/admin/page"
    parts = {path.name for path in (ROOT / folder).iterdir() if path.suffix in PAGE_SUFFIXES}
    assert {"page.html", "page.css", "page.js"} <= parts
    assert {f"{folder}/{name}" for name in parts} <= set(wheel.namelist())


@pytest.mark.parametrize(("package", "folder"), PLACES)
def test_wheel_marks_the_package_as_typed(
    package: str, folder: str, wheel: zipfile.ZipFile
) -> None:
    assert f"{folder}{package}/py.typed" in wheel.namelist()


def test_wheel_carries_the_licence(wheel: zipfile.ZipFile) -> None:
    assert dist_info(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_wheel_declares_the_console_script(wheel: zipfile.ZipFile) -> None:
    assert "mogstored = mogstored.cli:main" in dist_info(wheel, "entry_points.txt").splitlines()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Name", "mogstored"),
        ("Version", mogstored.__version__),
        ("License-Expression", "MIT"),
        ("Requires-Python", ">=3.11"),
    ],
)
def test_metadata_says(field: str, value: str, wheel: zipfile.ZipFile) -> None:
    assert headers(wheel)[field] == value


def test_metadata_asks_for_rich_only_for_the_live_view(wheel: zipfile.ZipFile) -> None:
    lines = headers(wheel).get_all("Requires-Dist", [])
    assert [line for line in lines if "extra ==" in line] == ["rich>=13.0; extra == 'top'"]


def test_metadata_asks_for_the_libraries(wheel: zipfile.ZipFile) -> None:
    lines = headers(wheel).get_all("Requires-Dist", [])
    required = {line.partition(">=")[0] for line in lines if "extra ==" not in line}
    assert required == {
        *("httptools", "prometheus-client", "psutil", "python-json-logger", "setproctitle"),
    }


@pytest.mark.parametrize(
    "folder", ["man", "completions", "systemd", "debian", "freebsd", "monitoring", "vendor"]
)
def test_sdist_carries_all_of_packaging(folder: str, sdist_names: set[str]) -> None:
    if shutil.which("git") is None:
        pytest.skip("git, which knows the files that belong to it, is not installed")
    tracked = subprocess.run(
        ["git", "ls-files", f"packaging/{folder}"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if tracked.returncode:
        pytest.skip("not a clone: git cannot list its files")
    assert set(tracked.stdout.splitlines()) <= sdist_names


@pytest.mark.parametrize("folder", ["tests", "bench", "packaging", "mogpoll", "mogstored"])
def test_sdist_carries(folder: str, sdist_names: set[str]) -> None:
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")}
    assert any(name.startswith(f"{folder}/") for name in sdist_names)
    assert {name for name in here if "results/" not in name} <= sdist_names
