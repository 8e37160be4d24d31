"""The program: from its arguments to a running node, or to an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from mogstored import options
from mogstored.config import Config, ConfigError, load
from mogstored.config.findings import Findings
from mogstored.config.report import describe
from mogstored.process.daemonize import occupy_stdio


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node as the arguments say; return the exit status."""
    occupy_stdio()
    prog = _name_of(sys.argv[0])
    given = options.parse(prog, sys.argv[1:] if arguments is None else arguments)
    config, findings = load(given.options, os.environ)
    if given.check_config:
        return _report(config, findings, prog)
    complain(prog, findings.lines_to_first_error())
    if findings.errors:
        return 1
    # Late: whoever only asks, or has mistyped, does not wait for the whole node to be loaded.
    from mogstored import startup

    try:
        return startup.run(config, prog)
    except ConfigError as error:
        complain(prog, [str(error)])
        return error.exit_status


def complain(prog: str, lines: Sequence[str]) -> None:
    """Print to stderr; each of `lines` stays one line, whatever it quotes."""
    for line in lines:
        shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
        print(f"{prog}: {shown}", file=sys.stderr)


def _report(config: Config, findings: Findings, prog: str) -> int:
    print(describe(config), end="")
    complain(prog, findings.lines())
    complain(prog, [f"errors: {findings.errors}, warnings: {findings.warnings}"])
    return 1 if findings.errors else 0


def _name_of(path: str) -> str:
    name = os.path.basename(path)
    return "mogstored" if name == "__main__.py" else name
