"""The command line of `mogstored check-disks`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mogstored.check_disks.parser import CommandParser
from mogstored.config.values.scalars import parse_number

_DEFAULT_SIZE = 64 * 1024 * 1024
_MAX_SECONDS = 24 * 3600
_SIZE = re.compile(r"([0-9]{1,15})([KMGT]?)(?:i?B)?")
_UNITS = ("", "K", "M", "G", "T")

_EPILOG = """\
On each device a file is created, written, synced, read back from the disk, renamed and
removed, one device after the other. Nothing else is touched, nothing is left, and a node
may serve meanwhile; it is slower for that time. A disk that hangs is given up, and the
next one is begun; the process that waits for it removes its file when the disk answers.
Run it as the node's user, or as root.

The exit status is 0 if all devices are in order; 1 if one is not, or there is none; 2 for
wrong arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for; no `devices` stand for all."""

    docroot: str
    devices: tuple[str, ...] = ()
    size: int = _DEFAULT_SIZE
    timeout_s: int = 60
    parallel: bool = False
    json: bool = False


def parse(prog: str, arguments: Sequence[str]) -> Options:
    """Return what the arguments ask for.

    **Raises:** `SystemExit` for the help, and for what cannot be parsed.
    """
    found = vars(build_parser(prog).parse_args(arguments))
    return Options(**found | {"devices": tuple(dict.fromkeys(found["devices"]))})


def build_parser(prog: str) -> CommandParser:
    """Return the parser; the manual page and the completions are made of it, too."""
    parser = CommandParser(prog, "Find out whether disks store what they are given.", _EPILOG)
    add = parser.add_argument
    add("devices", metavar="devN", nargs="*", help="check only these (default: all)")
    add(
        "--size",
        metavar="SIZE",
        type=_parse_size,
        default=_DEFAULT_SIZE,
        help="write SIZE bytes; K, M, G and T may follow (default: 64M)",
    )
    add(
        "--timeout",
        dest="timeout_s",
        metavar="SECONDS",
        type=_parse_seconds,
        default=60,
        help="give up a disk on which nothing happens for SECONDS (default: 60)",
    )
    add("--parallel", action="store_true", help="check all devices at the same time")
    add("--json", action="store_true", help="print one JSON object")
    parser.add_help_option()
    return parser


def _parse_size(word: str) -> int:
    found = _SIZE.fullmatch(word)
    size = 0 if found is None else int(found[1]) << 10 * _UNITS.index(found[2])
    if not size:
        raise argparse.ArgumentTypeError(f"'{word}' is no size above 0, such as 64M")
    return size


def _parse_seconds(word: str) -> int:
    try:
        return parse_number(word, 1, _MAX_SECONDS, " of seconds")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{word}': {error}") from None
