"""The command line of `mogstored top`."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from mogstored.config.values.addresses import join_address
from mogstored.config.values.scalars import parse_number
from mogstored.log.printable import printable
from mogstored.top.order import SORTS

ADMIN_PORT, HTTP_PORT, MGMT_PORT = 7502, 7500, 7501
# Also where rich is missing.
EX_USAGE = 2
_MAX_SECONDS = 3600.0

_HOST = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<name>\w[\w.-]*))(?::(?P<port>[^:]*))?"
)
_BARE_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%.*)?")

_EPILOG = """\
Each node is asked for /status.json on its admin listener (adminlisten): port 7502,
if HOST names no other. An IPv6 address needs brackets. Where that port refuses, does
not answer, or answers 404, the node is shown from its sidechannel (watch) and from
/devN/usage over HTTP. So cmogstored and Perl mogstored are shown, too, with less to
see. The admin listener is tried again every 30 seconds.

In a terminal, h shows the keys. Where the output is none, --once is implied.
The exit status is 0; 1 if a node did not answer to --once or --json; 2 for wrong
arguments, or where the library rich is missing, which --json does without."""


class NodeAddress(NamedTuple):
    """A host, by name or number, and the port of its admin listener."""

    host: str
    port: int = ADMIN_PORT

    @property
    def text(self) -> str:
        """The address as it is shown, without a port that is the default."""
        if self.port != ADMIN_PORT:
            return join_address(self.host, self.port)
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    nodes: tuple[NodeAddress, ...]
    once: bool = False
    json: bool = False
    interval_s: float = 2.0
    timeout_s: float = 3.0
    http_port: int = HTTP_PORT
    mgmt_port: int = MGMT_PORT
    sort: str = "worst"
    filter: str = ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(printable(f"{self.prog}: {message}; try '{self.prog} --help'"), file=sys.stderr)
        raise SystemExit(EX_USAGE)


def parse(prog: str, arguments: Sequence[str]) -> Options:
    """Return what the arguments ask for.

    **Raises:** `SystemExit` for the help, and for what cannot be parsed.
    """
    found = vars(build_parser(prog).parse_args(arguments))
    return Options(**found | {"nodes": tuple(dict.fromkeys(found["nodes"]))})


def build_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser; the manual page and the completions are made of it, too."""
    parser = _Parser(
        prog=prog,
        description="Show the state of storage nodes and their devices, the worst first.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument(
        "nodes", metavar="HOST[:PORT]", nargs="+", type=_checked(parse_node), help="a node"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--once", action="store_true", help="print one table, and exit")
    output.add_argument("--json", action="store_true", help="print one JSON object, and exit")
    add = parser.add_argument
    seconds: dict[str, Any] = {"metavar": "SECONDS", "type": _checked(_parse_seconds)}
    port: dict[str, Any] = {"metavar": "PORT", "type": _checked(_parse_port)}
    add(
        "--interval",
        dest="interval_s",
        default=2.0,
        help="ask the nodes every SECONDS (default: 2); --once and --json ask twice, for rates",
        **seconds,
    )
    add(
        "--timeout",
        dest="timeout_s",
        default=3.0,
        help="wait SECONDS for a connection or an answer (default: 3)",
        **seconds,
    )
    add("--http-port", default=HTTP_PORT, help="port for /devN/usage (default: 7500)", **port)
    add("--mgmt-port", default=MGMT_PORT, help="port of the sidechannel (default: 7501)", **port)
    add(
        "--sort",
        metavar="ORDER",
        choices=tuple(SORTS),
        default="worst",
        help=f"order of the devices: {', '.join(SORTS)} (default: worst)",
    )
    add(
        "--filter",
        metavar="TEXT",
        type=printable,
        default="",
        help="show what has each word of TEXT in its names, path or state",
    )
    add("-?", "-h", "--help", action="help", help="show this")
    return parser


def parse_node(word: str) -> NodeAddress:
    """Return what `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT` names.

    **Raises:** `ValueError` saying what is wrong with it.
    """
    match = _HOST.fullmatch(word)
    if match is None:
        hint = "; an IPv6 address needs brackets" if _BARE_IPV6.fullmatch(word) else ""
        raise ValueError(f"'{word}' is not of the form HOST[:PORT]{hint}")
    port = ADMIN_PORT
    if match["port"] is not None:
        try:
            port = _parse_port(match["port"])
        except ValueError as error:
            raise ValueError(f"'{word}': port is {error}") from None
    return NodeAddress(match["v6"] or match["name"], port)


def _parse_port(word: str) -> int:
    return parse_number(word, 1, 65535)


def _parse_seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= _MAX_SECONDS:
        raise ValueError(f"'{word}' is no number of seconds from 0.1 to {_MAX_SECONDS:g}")
    return seconds


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show the reason of a `ValueError`, which it leaves out otherwise."""

    def checked(word: str) -> Any:
        try:
            return parse(word)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked
