"""How commands for one docroot parse their arguments."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from mogstored.log.printable import printable

EX_USAGE = 2


class CommandParser(argparse.ArgumentParser):
    """A parser whose complaints are one line, with the exit status 2."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )
        self.add_argument(
            "docroot", metavar="DOCROOT", help="the directory that holds dev1, dev2..."
        )

    def error(self, message: str) -> NoReturn:
        print(printable(f"{self.prog}: {message}; try '{self.prog} --help'"), file=sys.stderr)
        raise SystemExit(EX_USAGE)

    def add_help_option(self) -> None:
        """Add what comes last."""
        self.add_argument("-?", "-h", "--help", action="help", help="show this")
