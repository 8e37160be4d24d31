"""The command line of `mogstored device`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mogstored.check_disks.parser import CommandParser

_EPILOG = """\
Without devN, or without an option, the states are shown. A running node, with all its
worker processes, does what was said within a second or two; one that is started later,
too. What the operator has decided stays until the operator decides something else: no
check ends it, unless it was asked for. It is written to DOCROOT/.mogstored, so who may
write there may decide.

The tracker's own state of a device is another thing: 'mogadm device mark'.

The exit status is 0; 1 if the state could not be kept; 2 for wrong arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    docroot: str
    device: str | None = None
    order: str | None = None
    """One of readonly, down, ok and check."""
    json: bool = False


def parse(prog: str, arguments: Sequence[str]) -> Options:
    """Return what the arguments ask for.

    **Raises:** `SystemExit` for the help, and for what cannot be parsed.
    """
    parser = build_parser(prog)
    options = Options(**vars(parser.parse_args(arguments)))
    if options.order is not None and options.device is None:
        parser.error(f"--{options.order} needs a device, such as dev7")
    return options


def build_parser(prog: str) -> CommandParser:
    """Return the parser; the manual page and the completions are made of it, too."""
    about = "Show or say what devices may be used for, on the machine that has them."
    parser = CommandParser(prog, about, _EPILOG)
    parser.add_argument("device", metavar="devN", nargs="?", help="the device")
    orders = parser.add_mutually_exclusive_group()
    for order, what in (
        ("readonly", "store nothing more on it: PUT is answered with 507, and it looks full"),
        ("down", "do not touch its disk: all its requests are answered with 500"),
        ("ok", "use it again, without a check"),
        ("check", "check a device that is out of use now, and use it again if that succeeds"),
    ):
        orders.add_argument(
            f"--{order}", dest="order", action="store_const", const=order, help=what
        )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_help_option()
    return parser
