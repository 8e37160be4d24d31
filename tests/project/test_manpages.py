"""The manual pages match the program, and are well-formed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mogstored.config.settings import KEYS
from tests.project._tree import ROOT
from tests.project.test_docs_match_cli import options as options  # the fixture

MAN = ROOT / "packaging" / "man"
PAGES = sorted(MAN.glob("*.[1-9]"))

needs_mandoc = pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")


def mandoc(*arguments: str | Path) -> str:
    done = subprocess.run(["mandoc", *arguments], capture_output=True, text=True, check=False)
    return done.stdout


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", script, *arguments], capture_output=True, text=True, check=False
    )


def test_the_three_pages_are_there() -> None:
    assert [page.name for page in PAGES] == ["mogpoll.7", "mogstored.1", "mogstored.conf.5"]


@pytest.mark.parametrize("folder", ["man", "completions", "docs"])
def test_what_is_made_is_up_to_date(folder: str) -> None:
    checked = run(ROOT / "packaging" / folder / "render.py", "--check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def copy_of_sources(into: Path) -> Path:
    """Copy what the pages are made of; `render.py` works beside it."""
    for file in MAN.iterdir():
        if file.is_file():
            shutil.copy(file, into)
    return into / "render.py"


def test_a_page_that_is_out_of_date_is_named(tmp_path: Path) -> None:
    script = copy_of_sources(tmp_path)
    page = tmp_path / "mogstored.1"
    page.write_text(page.read_text().replace("storage node", "strange node"))
    checked = run(script, "--check")
    assert (checked.returncode, checked.stdout.split(";")[0]) == (1, "out of date: mogstored.1")


def test_tables_of_the_configuration_that_are_out_of_date_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "configuration.md"
    script = ROOT / "packaging" / "docs" / "render.py"
    text = (ROOT / "docs" / "configuration.md").read_text()
    page.write_text(text.replace("| `stop_timeout` |", "| |"))
    checked = run(script, "--check", str(page))
    assert checked.returncode == 1
    assert checked.stdout.startswith("out of date: configuration.md;")
    assert run(script, str(page)).returncode == 0
    assert page.read_text() == text


def test_page_shows_every_option_and_no_other(options: set[str]) -> None:
    shown = re.findall(r"^\.It Fl .*?-([a-z-]+)(?: Ar \w+)?$", text("mogstored.1"), re.MULTILINE)
    assert {f"--{name}" for name in shown} == options


def test_page_shows_every_key_of_config_files() -> None:
    assert set(re.findall(r"^\.It Cm (\w+)", text("mogstored.conf.5"), re.MULTILINE)) == set(KEYS)


def text(page: str) -> str:
    return (MAN / page).read_text()


@needs_mandoc
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_has_nothing_to_say(page: Path) -> None:
    said = mandoc("-Tlint", page).splitlines()
    # Other pages need not be installed.
    assert [line for line in said if "referenced manual not found" not in line] == []


@needs_mandoc
def test_rendered_page_is_readable() -> None:
    shown = re.sub(r".\x08", "", mandoc("-Tascii", MAN / "mogstored.1"))
    assert "-c FILE, --config FILE" in shown
    assert "-?, --help" in shown


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--http"], ["--httpgetlisten", "--httplisten"]),
        (["--log-format", "j"], ["json"]),
        (["--multi", "--check-"], ["--check-config"]),
        (["t"], ["top"]),
        (["scrub", "--r"], ["--rate"]),
        (["device", "--r"], ["--readonly"]),
        (["check-disks", "--s"], ["--size"]),
        (["top", "--m"], ["--mgmt-port"]),
        (["top", "--sort", "u"], ["utilization"]),
    ],
)
def test_bash_completes(words: list[str], expected: list[str]) -> None:
    quoted = " ".join(f"'{word}'" for word in ["mogstored", *words])
    script = f"""
        . {ROOT}/packaging/completions/bash/mogstored
        COMP_WORDS=({quoted}) COMP_CWORD={len(words)}
        _shtab_mogstored
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=False
    )
    assert sorted(done.stdout.split()) == expected, done.stderr
