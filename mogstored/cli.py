"""The program: from its arguments to a running node, or to an exit status."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from mogstored.log.printable import printable
from mogstored.process.shortage import TOO_LITTLE_MEMORY, is_too_little_memory
from mogstored.process.supervision.daemonize import occupy_stdio
from mogstored.process.supervision.pid1 import end_at_stop_signals

if TYPE_CHECKING:
    from mogstored.config import Config
    from mogstored.config.diagnostics import Diagnostics


# Made in advance: when it is needed, there is no memory.
_TOO_LITTLE_MEMORY = f"mogstored: {TOO_LITTLE_MEMORY}\n".encode()

# What the program does besides serving: the modules, each with a `main` of its name and arguments.
SUBCOMMANDS = {
    "top": "mogstored.top.main",
    "scrub": "mogstored.scrub.main",
    "device": "mogstored.device_command.main",
    "check-disks": "mogstored.check_disks.main",
}

_STRICT = "warnings are errors with --strict"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments`; return the exit status."""
    try:
        return _main(arguments)
    except Exception as error:
        if not is_too_little_memory(error):
            raise
    os.write(2, _TOO_LITTLE_MEMORY)
    return _fail(1)


def _fail(status: int) -> NoReturn:
    """End without Python's own end, which needs memory and prints a line for all that it lacks.

    What was printed to stdout so far is not lost: it waits there if that is a pipe or a file.
    """
    try:
        sys.stdout.flush()
    except Exception:
        pass
    finally:
        os._exit(status)


def _main(arguments: Sequence[str] | None) -> int:
    end_at_stop_signals()
    # Late: before the line above, process 1 of a container ignores stop signals.
    from mogstored.config import ConfigError, command_line, load

    occupy_stdio()
    _tolerate_names()
    prog = printable(_name_of(sys.argv[0]))
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in SUBCOMMANDS:
        run = import_module(SUBCOMMANDS[words[0]]).main
        return int(run(f"{prog} {words[0]}", words[1:]))
    given = command_line.parse(prog, words)
    read = partial(load, given.options, os.environ.copy())
    config, diagnostics = read()
    if given.check_config and not given.complaint:
        return _report(config, diagnostics, prog, is_strict=given.is_strict)
    complain(prog, diagnostics.lines())
    if given.complaint:
        complain(prog, [given.complaint])
        return command_line.EX_USAGE
    if diagnostics.are_fatal(is_strict=given.is_strict):
        if not diagnostics.errors:
            complain(prog, [_STRICT])
        return 1
    # What is loaded now stays: looking for garbage among it takes a tenth of the time.
    gc.disable()
    # Late: a check or a wrong option need not wait for the whole node to be loaded.
    import logging

    # Without a handler, libraries that find too little memory print to stderr: hashlib does.
    logging.getLogger().addHandler(logging.NullHandler())
    from mogstored import startup
    from mogstored.process.reload import Reloader

    try:
        status = startup.run(config, prog, Reloader(config, read, is_strict=given.is_strict))
    except ConfigError as error:
        if is_too_little_memory(error):
            raise
        complain(prog, [str(error)])
        return error.exit_status
    return _fail(status) if status else 0


def complain(prog: str, lines: Sequence[str]) -> None:
    """Print to stderr; each of `lines` stays one line, whatever it quotes.

    A stderr without a reader does not block the start.
    """
    if not lines:
        return
    from mogstored.log.handlers import open_stderr
    from mogstored.process.flusher import flush_before_exit

    writer = open_stderr()
    for line in lines:
        writer.write(f"{printable(f'{prog}: {line}')}\n".encode())
    flush_before_exit([writer])
    writer.close()


def _tolerate_names() -> None:
    """Let stdout escape what its encoding lacks, as stderr does.

    It is strict in most locales, and `--check-config` shows names in any script.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _report(config: Config, diagnostics: Diagnostics, prog: str, *, is_strict: bool) -> int:
    from mogstored.config.report import describe
    from mogstored.preflight import examine

    examine(config, diagnostics)
    print(describe(config), end="")
    complain(prog, diagnostics.lines())
    complain(prog, [f"errors: {diagnostics.errors}, warnings: {diagnostics.warnings}"])
    is_fatal = diagnostics.are_fatal(is_strict=is_strict)
    if is_fatal and not diagnostics.errors:
        complain(prog, [_STRICT])
    return int(is_fatal)


def _name_of(path: str) -> str:
    name = os.path.basename(path)
    return "mogstored" if name == "__main__.py" else name
