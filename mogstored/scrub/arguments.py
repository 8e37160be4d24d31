"""The command line of `mogstored scrub`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from mogstored.log.printable import printable

EX_USAGE = 2
# More than any disk.
_MAX_RATE = 1_000_000.0

_EPILOG = """\
DOCROOT is a directory that holds dev1, dev2, ...; DEVICE is one of these. Devices on
different disks are read at the same time. Files that have a checksum beside them
(checksum_at_rest) are compared with it, the others are only read. Nothing is changed,
and a node may serve the files meanwhile. Run it as a user that can read all files.

Each finding is a line: PATH: mismatch, unreadable or bad checksum, with what was
expected and found. With --json, each is an object, and the summary is the last one.

The exit status is 0 if all files are sound; 1 if something is wrong, or a device could
not be read to its end; 2 for wrong arguments; 130 when it was interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    path: str
    rate: float = math.inf
    json: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(printable(f"{self.prog}: {message}; try '{self.prog} --help'"), file=sys.stderr)
        raise SystemExit(EX_USAGE)


def parse(prog: str, arguments: Sequence[str]) -> Options:
    """Return what the arguments ask for.

    **Raises:** `SystemExit` for the help, and for what cannot be parsed.
    """
    return Options(**vars(build_parser(prog).parse_args(arguments)))


def build_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser; the manual page and the completions are made of it, too."""
    parser = _Parser(
        prog=prog,
        description="Read all files again, and find those that are not what was stored.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("path", metavar="DOCROOT|DEVICE", help="what to read")
    parser.add_argument(
        "--rate",
        metavar="MIB",
        type=_parse_rate,
        default=math.inf,
        help="read at most MIB mebibytes a second from each device (default: no limit)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON objects, one a line, and no progress"
    )
    parser.add_argument("-?", "-h", "--help", action="help", help="show this")
    return parser


def _parse_rate(word: str) -> float:
    try:
        rate = float(word)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= _MAX_RATE:
        raise argparse.ArgumentTypeError(f"'{word}' is no number of MiB above 0")
    return rate
