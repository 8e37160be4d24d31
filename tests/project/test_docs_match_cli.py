"""The documents mention all options, and no others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project._tree import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Return the long options in the help of the installed program, and of its commands."""
    return {
        option
        for command in ([], ["top"], ["scrub"], ["device"], ["check-disks"])
        for option in options_in_help_of(*command)
    }


def options_in_help_of(*command: str) -> list[str]:
    shown = subprocess.run(
        [sys.executable, "-m", "mogstored", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )
    return _OPTION.findall(shown.stdout)


def options_written_for_mogstored(text: str) -> set[str]:
    """Collect the options of commands that run mogstored, and those that stand alone in code."""
    blocks = _FENCED.findall(text)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = _INLINE.findall(_FENCED.sub("", text))
    alone = {option for span in spans for option in _OPTION.findall(span) if span[0] == "-"}
    commands = (_mogstored_arguments(code) for code in lines + spans)
    return alone.union(*(_OPTION.findall(arguments) for arguments in commands))


def _mogstored_arguments(code: str) -> str:
    words = code.partition(" #")[0].split()
    for position, word in enumerate(words, start=1):
        is_unit = words[position - 2 : position - 1] == ["-u"]
        if re.search(r"(^|[/=])mogstored$", word) and not is_unit:
            return " ".join(words[position:])
    return ""


def test_help_shows_options(options: set[str]) -> None:
    assert {"--docroot", "--httplisten", "--help"} <= options


def test_every_option_is_in_the_documents(options: set[str]) -> None:
    documented = set(_OPTION.findall("\n".join(path.read_text() for path in DOCUMENTS)))
    assert options - documented == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_in_the_documents_exists(document: Path, options: set[str]) -> None:
    assert options_written_for_mogstored(document.read_text()) - options == set()


def test_options_are_found_where_they_are_written_for_mogstored() -> None:
    text = """
Use `--inline` or `mogstored --span=1`; `curl --not-ours`.
```
$ mogstored --first DIR \\
      --continued
ExecStart=/usr/bin/mogstored --unit
python -m mogstored --module   # --comment
pip install --not-ours mogstored
journalctl -u mogstored --not-ours
```
"""
    expected = {"--inline", "--span", "--first", "--continued", "--unit", "--module"}
    assert options_written_for_mogstored(text) == expected
