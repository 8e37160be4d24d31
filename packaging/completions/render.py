"""Make the completions for shells from the option parser, by means of shtab.

python packaging/completions/render.py            writes them
python packaging/completions/render.py --check    says which are out of date, and exits with 1

They are under version control: building and installing the distribution needs no shtab.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import shtab

from mogstored.check_disks import arguments as check_arguments
from mogstored.config.command_line import build_parser
from mogstored.config.settings import BY_NAME
from mogstored.device_command import arguments as device_arguments
from mogstored.scrub import arguments as scrub_arguments
from mogstored.top import arguments as top_arguments

HERE = Path(__file__).resolve().parent
# By the names under which shells look for them.
FILES = {"bash": "mogstored", "zsh": "_mogstored", "tcsh": "mogstored.csh"}
# What a value is, by the word that stands for it in the help.
COMPLETE = {
    "FILE": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "DOCROOT": shtab.DIRECTORY,
    "PATH": shtab.FILE,
}
SUBCOMMANDS = {
    "top": (top_arguments.build_parser, "show the state of many nodes"),
    "scrub": (scrub_arguments.build_parser, "read all files again, and compare checksums"),
    "device": (device_arguments.build_parser, "show or say what devices may be used for"),
    "check-disks": (check_arguments.build_parser, "find out whether disks store what they get"),
}


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
        elif action.metavar:
            name = action.option_strings[-1].removeprefix("--").replace("-", "_")
            action.choices = BY_NAME[name].choices or None
    for group in parser._action_groups:
        group._group_actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS]
    parser._actions = [a for a in parser._actions if a.help != argparse.SUPPRESS]
    commands = parser.add_subparsers(title="other than to serve")
    for name, (build, about) in SUBCOMMANDS.items():
        command = build(f"mogstored {name}")
        for action in command._actions:
            action.option_strings = [word for word in action.option_strings if word != "-?"]
            if action.metavar == "DOCROOT|DEVICE":
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        commands.add_parser(name, parents=[command], add_help=False, help=about, description=about)
    return str(shtab.complete(parser, shell)).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
