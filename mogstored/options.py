"""The command line: which options there are, and which of them were given."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import mogstored
from mogstored.config import Option
from mogstored.config.model import DEFAULT_DOCROOT, DEFAULT_MAXCONNS, LOG_FORMATS

# sysexits.h
EX_USAGE = 64

_FOOTER = """\
ADDR is [[IPV4]:]PORT or [IPV6]:PORT. Long options may be shortened as far as they stay
unambiguous. Without any listener, HTTP is served on port 7500 and the sidechannel on 7501."""


class Arguments(NamedTuple):
    """The options in the order in which they were met."""

    options: tuple[Option, ...]
    check_config: bool


def parse(prog: str, arguments: Sequence[str]) -> Arguments:
    """Return the options that were given, their values unexamined.

    **Raises:** `SystemExit` for what only prints, and for what cannot be parsed.
    """
    parser = build_parser(prog)
    _refuse_single_dash(parser, arguments)
    parsed = parser.parse_args(arguments)
    return Arguments(tuple(parsed.met), parsed.check_config)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; try '{self.prog} --help'", file=sys.stderr)
        raise SystemExit(EX_USAGE)


class _Meet(argparse.Action):
    """Note the option and its word, in the order of the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        word: Any,
        _option_string: str | None = None,
    ) -> None:
        name, flag_word = self.const
        namespace.met.append(Option(name, flag_word or word))


class _Usage(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        _word: Any,
        _option_string: str | None = None,
    ) -> None:
        parser.print_usage()
        parser.exit()


def build_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of the command line; manual pages and completions are made of it."""
    parser = _Parser(
        prog=prog,
        description="Serve the files of a MogileFS storage node.",
        epilog=_FOOTER,
        add_help=False,
    )
    parser.set_defaults(met=[])
    _add_service_options(parser)
    _add_node_options(parser)
    _add_options_of_others(parser)
    _add_informing_options(parser)
    return parser


def _add_service_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to serve")
    _value(group, "config", "FILE", "read settings from FILE; may be repeated", "-c")
    _flag(group, "multi", "allow several --config, each for a service of its own")
    _value(
        group,
        "docroot",
        "DIR",
        f"directory that holds dev1, dev2, ... (default: {DEFAULT_DOCROOT})",
    )
    _value(group, "httplisten", "ADDR", "serve HTTP on ADDR")
    _value(group, "httpgetlisten", "ADDR", "serve only GET and HEAD on ADDR")
    _value(group, "mgmtlisten", "ADDR", "serve the tracker's sidechannel on ADDR")
    _flag(group, "require-mount", "refuse a device that is not a file system of its own")


def _add_node_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how to run")
    _flag(group, "daemonize", "detach, once nothing is left that could fail", "-d")
    _value(group, "pidfile", "FILE", "keep the number of the process in FILE")
    _value(
        group,
        "maxconns",
        "N",
        f"raise the limit of open files to N (default: {DEFAULT_MAXCONNS})",
    )
    _value(
        group,
        "worker-processes",
        "N",
        "serve from N processes below a master (default: 0, one process)",
    )
    _value(
        group,
        "stop-timeout",
        "SECONDS",
        "when stopping, give up after SECONDS what has not ended (default: never)",
    )
    _flag(group, "iostat", "tell trackers how busy the disks are (the default)")
    _flag(group, "no-iostat", "do not", name="iostat", word="no")
    _value(group, "log-format", "FORMAT", f"{' or '.join(LOG_FORMATS)} (default: text)")
    _value(group, "aio-threads", "N", argparse.SUPPRESS)


def _add_options_of_others(parser: argparse.ArgumentParser) -> None:
    """What the command lines of other nodes may contain."""
    group = parser.add_argument_group("for the sake of existing command lines")
    _flag(group, "skipconfig", "does nothing", "-s")
    _value(group, "serverbin", "PATH", "ignored, with a warning")
    _value(group, "server", "NAME", argparse.SUPPRESS)


def _add_informing_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what only prints")
    group.add_argument(
        "--check-config",
        action="store_true",
        help="show the merged configuration and all that is wrong with it; start nothing",
    )
    group.add_argument("-?", "--help", action="help", help="show this")
    group.add_argument("--usage", action=_Usage, nargs=0, help="show the options in short")
    group.add_argument(
        "-V",
        "--version",
        action="version",
        version=f"mogstored {mogstored.__version__}",
        help="show the version",
    )


# What is added to, a parser or a group, has no public common type.
_Group = argparse._ArgumentGroup


def _value(group: _Group, name: str, metavar: str, text: str, *short: str) -> None:
    group.add_argument(
        *short,
        f"--{name}",
        action=_Meet,
        const=(name, None),
        dest=argparse.SUPPRESS,
        metavar=metavar,
        help=text,
    )


def _flag(
    group: _Group, option: str, text: str, *short: str, name: str | None = None, word: str = "yes"
) -> None:
    group.add_argument(
        *short,
        f"--{option}",
        action=_Meet,
        nargs=0,
        const=(name or option, word),
        dest=argparse.SUPPRESS,
        help=text,
    )


def _refuse_single_dash(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Stop at `-config`, as Perl spells it, which would be read as `-c onfig`."""
    for argument in arguments:
        word = argument.partition("=")[0]
        if len(word) > 2 and "-" + word in parser._option_string_actions:
            parser.error(f"unknown option {word}: long options have two dashes")
