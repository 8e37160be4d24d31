"""Make the manual pages from their templates, the table of settings and the docstrings.

python packaging/man/render.py            writes the pages beside their templates
python packaging/man/render.py --check    says which of them are out of date, and exits with 1

The package must be importable. The pages are under version control: building and installing the
distribution does not need this script.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mogpoll
from mogstored.check_disks import arguments as check_arguments
from mogstored.config.command_line import help_text
from mogstored.config.rows.setting import Group, Merge, Setting
from mogstored.config.settings import BY_NAME, KEYS, SETTINGS
from mogstored.device_command import arguments as device_arguments
from mogstored.scrub import arguments as scrub_arguments
from mogstored.top import arguments as top_arguments

HERE = Path(__file__).resolve().parent
DATE = "November 29, 2026"
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
    parts = {
        "DATE": DATE,
        "OPTIONS": options(),
        "KEYS": keys(),
        "SWITCHES": " ,\n".join(f".Cm {key}" for key, row in KEYS.items() if not row.metavar)
        + " ",
        "RULES": rules(),
        "HTTPLISTEN": str(BY_NAME["httplisten"].default),
        "MGMTLISTEN": str(BY_NAME["mgmtlisten"].default),
        "NAMES": names(),
        "TOP": of_command(top_arguments.build_parser("mogstored top")),
        "SCRUB": of_command(scrub_arguments.build_parser("mogstored scrub")),
        "DEVICE": of_command(device_arguments.build_parser("mogstored device")),
        "CHECKDISKS": of_command(check_arguments.build_parser("mogstored check-disks")),
    }
    template = (HERE / f"{name}.in").read_text()
    filled = re.sub(r"@([A-Z]+)@", lambda found: parts[found[1]], template)
    return "".join(f"{line}\n" for line in wrapped(filled.splitlines()))


def options() -> str:
    """Return the options by their groups."""
    lines = []
    for group in Group:
        lines += [f".Ss {sentence(group.value)}", ".Bl -tag -width Ds"]
        for setting in SETTINGS:
            if setting.group is group and not setting.is_hidden:
                lines += [f".It {' , '.join(flags(setting))}", *meaning(setting)]
                if setting.opposite:
                    lines += [f".It Fl -no-{setting.option}", f"{sentence(setting.opposite)}."]
        lines.append(".El")
    return "\n".join(lines)


def of_command(parser: argparse.ArgumentParser) -> str:
    """Return the options of a subcommand."""
    lines = [".Bl -tag -width Ds"]
    for action in parser._actions:
        value = f" Ar {action.metavar}" if action.metavar else ""
        words = (word[1:].replace("?", _QUESTION_MARK) for word in action.option_strings)
        if names := [f"Fl {word}{value}" for word in words]:
            lines += [f".It {' , '.join(names)}", *mdoc(f"{sentence(action.help or '')}.")]
    return "\n".join([*lines, ".El"])


def flags(setting: Setting) -> Iterable[str]:
    value = f" Ar {setting.metavar}" if setting.metavar else ""
    for option in (setting.short, f"--{setting.option}"):
        if option:
            # A question mark alone would be taken for the end of a sentence.
            yield f"Fl {option[1:].replace('?', _QUESTION_MARK)}{value}"


def keys() -> str:
    """Return the keys of a configuration file, with their values."""
    lines = [".Bl -tag -width Ds"]
    for key, setting in KEYS.items():
        lines += [f".It Cm {key} No = Ar {setting.metavar or 'SWITCH'}", *meaning(setting)]
    return "\n".join([*lines, ".El"])


def rules() -> str:
    """Return how the command line and files become one value, and for which keys."""
    lines = [".Bl -tag -width Ds"]
    for rule in Merge:
        names = [key for key, row in KEYS.items() if row.merge is rule and row.is_kept]
        lines += [f".It Cm {' , '.join(names)}", f"{sentence(rule.value)}."]
    return "\n".join([*lines, ".El"])


def meaning(setting: Setting) -> list[str]:
    hup = "HUP applies a change." if setting.is_reloadable else ""
    return mdoc(f"{sentence(help_text(setting))}. {setting.about} {hup}".strip())


def mdoc(text: str) -> list[str]:
    """Return text with code in backticks and references to pages as lines of mdoc(7)."""
    lines: list[str] = []
    for part in re.split(r"(`[^`]+`|[\w.]+\(\d\))([.,;]?)", text):
        if found := re.fullmatch(r"([\w.]+)\((\d)\)", part):
            lines.append(f".Xr {found[1]} {found[2]}")
        elif part.startswith("`"):
            code = part[1:-1]
            # A delimiter that belongs to the word, as in "http:", and not to the sentence.
            lines.append(f".Ql {code}" + (r"\&" if code[-1] in ".,:;!?)]" else ""))
        elif part in (".", ",", ";") and lines and lines[-1].startswith("."):
            lines[-1] += f" {part}"
        else:
            lines += escape(part.strip())
    return lines


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
