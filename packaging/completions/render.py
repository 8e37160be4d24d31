"""Make the completions for shells from the option parser, by means of shtab.

python packaging/completions/render.py            writes them
python packaging/completions/render.py --check    says which are out of date, and exits with 1

They are kept under version control, so that whoever builds or installs the distribution needs
no shtab.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import shtab

from mogstored.config.model import LOG_FORMATS
from mogstored.options import build_parser

HERE = Path(__file__).resolve().parent
# By the names under which shells look for them.
FILES = {"bash": "mogstored", "zsh": "_mogstored", "tcsh": "mogstored.csh"}
# What a value is, by the word that stands for it in the help.
COMPLETE = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY, "PATH": shtab.FILE}


def main() -> int:
    """Write the files, or compare them."""
    stale = []
    for shell, name in FILES.items():
        file, text = HERE / shell / name, render(shell)
        if "--check" not in sys.argv[1:]:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            stale.append(name)
    if stale:
        print(f"out of date: {' '.join(stale)}; run python packaging/completions/render.py")
    return 1 if stale else 0


def render(shell: str) -> str:
    """Return the completion for one shell."""
    parser = build_parser("mogstored")
    for action in parser._actions:
        # Hidden ones are for the command lines of others, and -? means something to shells.
        action.option_strings = [word for word in action.option_strings if word != "-?"]
        if action.metavar in COMPLETE:
            action.complete = COMPLETE[action.metavar]
        elif action.metavar == "FORMAT":
            action.choices = LOG_FORMATS
    for group in parser._action_groups:
        group._group_actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS]
    parser._actions = [a for a in parser._actions if a.help != argparse.SUPPRESS]
    return str(shtab.complete(parser, shell)).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
