"""The command line: options in, a running node or an exit status out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import mogstored
from mogstored.config import DEFAULT_DOCROOT, DEFAULT_MAXCONNS, Config
from mogstored.listeners import Address, parse_address
from mogstored.log import open_log
from mogstored.server import Server

# sysexits.h
_EX_USAGE = 64


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node as the options say; return the exit status."""
    prog = os.path.basename(sys.argv[0])
    if prog == "__main__.py":
        prog = "mogstored"
    try:
        config = parse_options(prog, arguments)
        open_log("mogstored")
        Server(config).run()
    except (OSError, ValueError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    return 0


def parse_options(prog: str, arguments: Sequence[str] | None) -> Config:
    """Return the configuration that the options describe.

    **Raises:** `SystemExit` for --help, --version and what cannot be parsed; `ValueError`
    for a value that is wrong in itself.
    """
    options = _parser(prog).parse_args(arguments)
    http = _address("httplisten", options.httplisten)
    httpget = _address("httpgetlisten", options.httpgetlisten)
    mgmt = _address("mgmtlisten", options.mgmtlisten)
    if not (http or httpget or mgmt):
        http, mgmt = parse_address("0.0.0.0:7500"), parse_address("0.0.0.0:7501")
    return Config(
        docroot=options.docroot,
        httplisten=http,
        httpgetlisten=httpget,
        mgmtlisten=mgmt,
        maxconns=_number("maxconns", options.maxconns),
        aio_threads=None if options.aio_threads is None else int(options.aio_threads),
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}\nTry '{self.prog} --help'.", file=sys.stderr)
        raise SystemExit(_EX_USAGE)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=prog, description="Serve the files of a MogileFS storage node.")
    parser.add_argument("-V", "--version", action="version", version=_version(prog))
    parser.add_argument(
        "--docroot",
        metavar="DIR",
        default=DEFAULT_DOCROOT,
        help="directory that holds dev1, dev2, ... (default: %(default)s)",
    )
    parser.add_argument(
        "--httplisten", metavar="ADDR", help="serve HTTP on [[IPV4]:]PORT or [IPV6]:PORT"
    )
    parser.add_argument(
        "--httpgetlisten", metavar="ADDR", help="serve only GET and HEAD on this address"
    )
    parser.add_argument(
        "--mgmtlisten", metavar="ADDR", help="serve the tracker's sidechannel on this address"
    )
    parser.add_argument(
        "--maxconns",
        metavar="N",
        default=str(DEFAULT_MAXCONNS),
        help="raise the limit of open files to N (default: %(default)s)",
    )
    parser.add_argument("--aio-threads", type=int, help=argparse.SUPPRESS)
    return parser


def _version(prog: str) -> str:
    return f"{prog} {mogstored.__version__}"


def _address(option: str, typed: str | None) -> Address | None:
    if typed is None:
        return None
    try:
        return parse_address(typed)
    except ValueError as error:
        raise ValueError(f"--{option}={typed}: {error}") from None


def _number(option: str, typed: str) -> int:
    for character in typed or " ":
        if not ("0" <= character <= "9"):
            raise ValueError(f"--{option}={typed}: not a number from {character!r} on")
    return int(typed) or DEFAULT_MAXCONNS
