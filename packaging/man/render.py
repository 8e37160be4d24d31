"""Make the manual pages from their templates, the option parser, the keys and the docstrings.

python packaging/man/render.py            writes the pages beside their templates
python packaging/man/render.py --check    says which of them are out of date, and exits with 1

The package must be importable. The pages are kept under version control, so that whoever
builds or installs the distribution needs none of this.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mogpoll
from mogstored.config.model import DEFAULT_HTTPLISTEN, DEFAULT_MGMTLISTEN
from mogstored.config.settings import KEYS, SWITCHES
from mogstored.options import build_parser

HERE = Path(__file__).resolve().parent
WIDTH = 78
_QUESTION_MARK = r"\&?"
PAGES = ("mogstored.1", "mogstored.conf.5", "mogpoll.7")


def main() -> int:
    """Write the pages, or compare them."""
    stale = []
    for name in PAGES:
        page, text = HERE / name, render(name)
        if "--check" not in sys.argv[1:]:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            stale.append(name)
    if stale:
        print(f"out of date: {' '.join(stale)}; run python packaging/man/render.py")
    return 1 if stale else 0


def render(name: str) -> str:
    """Return the text of one page."""
    prose = tomllib.loads((HERE / "prose.toml").read_text())
    parts = {
        "DATE": prose["date"],
        "OPTIONS": options(build_parser("mogstored"), prose["options"], prose["instead"]),
        "KEYS": keys(prose["keys"], prose["values"]),
        "SWITCHES": " ,\n".join(f".Cm {name}" for name in sorted(SWITCHES)) + " ",
        "HTTPLISTEN": DEFAULT_HTTPLISTEN,
        "MGMTLISTEN": DEFAULT_MGMTLISTEN,
        "NAMES": names(),
    }
    template = (HERE / f"{name}.in").read_text()
    filled = re.sub(r"@([A-Z]+)@", lambda found: parts[found[1]], template)
    return "".join(f"{line}\n" for line in wrapped(filled.splitlines()))


def options(
    parser: argparse.ArgumentParser, prose: Mapping[str, str], instead: Mapping[str, str]
) -> str:
    """Return the options by their groups, each with its help text and what is said beyond it."""
    lines = []
    left = {*prose, *instead}
    for group in parser._action_groups:
        shown = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        if not shown:
            continue
        lines += [f".Ss {sentence(group.title or '')}", ".Bl -tag -width Ds"]
        for action in shown:
            name = action.option_strings[-1].removeprefix("--")
            lines += [f".It {' , '.join(flags(action))}"]
            lines += escape(instead.get(name) or sentence(action.help or "") + ".")
            lines += prose.get(name, "").strip().splitlines()
            left.discard(name)
        lines.append(".El")
    if left:
        raise SystemExit(f"prose.toml speaks of options that do not exist: {sorted(left)}")
    return "\n".join(lines)


def flags(action: argparse.Action) -> Iterable[str]:
    value = f" Ar {action.metavar}" if action.metavar else ""
    for option in action.option_strings:
        # A question mark alone would be taken for the end of a sentence.
        yield f"Fl {option[1:].replace('?', _QUESTION_MARK)}{value}"


def keys(prose: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Return the keys of a configuration file, with their values."""
    if prose.keys() != KEYS or values.keys() != KEYS:
        odd = sorted((prose.keys() ^ KEYS) | (values.keys() ^ KEYS))
        raise SystemExit(f"prose.toml and the known keys differ in: {', '.join(odd)}")
    lines = [".Bl -tag -width Ds"]
    for key, text in prose.items():
        lines += [f".It Cm {key} No = Ar {values[key]}", *text.strip().splitlines()]
    return "\n".join([*lines, ".El"])


def names() -> str:
    """Return what the package offers, each with the first line of its docstring."""
    lines = [".Bl -tag -width Ds"]
    for name in mogpoll.__all__:
        thing: Any = getattr(mogpoll, name)
        summary = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")
        lines += [f".It Li {name}", *escape(summary.replace("`", ""))]
    return "\n".join([*lines, ".El"])


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def escape(text: str) -> list[str]:
    """Keep roff from taking text for requests; a new sentence begins on a line of its own."""
    text = re.sub(r"([.;]) +(?=[A-Z])", r"\1\n", text.replace("\\", "\\e"))
    return ["\\&" + line if line[:1] in ".'" else line for line in text.splitlines()]


def wrapped(lines: Iterable[str]) -> Iterable[str]:
    """Break lines of text, but no requests and nothing that is shown as it is."""
    literal = False
    for line in lines:
        literal = line.startswith(".Bd") or (literal and not line.startswith(".Ed"))
        if literal or line.startswith("."):
            yield line
        else:
            # What begins a line after a break must not look like a request.
            yield from (escape(part)[0] for part in textwrap.wrap(line, WIDTH))


if __name__ == "__main__":
    sys.exit(main())
