"""The command line: which options there are, and which of them were given."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import mogstored
from mogstored.config.loading import Option
from mogstored.config.rows.setting import Group, Setting
from mogstored.config.settings import SETTINGS
from mogstored.config.values.suggestion import did_you_mean
from mogstored.log.printable import printable

# sysexits.h
EX_USAGE = 64

_FOOTER = """\
ADDR is [[IPV4]:]PORT or [IPV6]:PORT. Long options may be shortened as far as they stay
unambiguous. 'mogstored top --help' explains the live view of many nodes, 'mogstored scrub
--help' how all files are read again and compared with their checksums."""


class Arguments(NamedTuple):
    """The options in the order in which they were met."""

    options: tuple[Option, ...]
    check_config: bool
    is_strict: bool
    complaint: str
    """About what is no option; empty if there is nothing."""


def parse(prog: str, arguments: Sequence[str]) -> Arguments:
    """Return the options that were given, their values unexamined.

    **Raises:** `SystemExit` for what only prints, and for what cannot be parsed.
    """
    parser = build_parser(prog)
    _refuse_single_dash(parser, arguments)
    parsed, unknown = parser.parse_known_args(arguments)
    complaint = ""
    if unknown:
        shown = " ".join(f"{argument}{_hint(parser, argument)}" for argument in unknown)
        complaint = f"unrecognized arguments: {shown}; {parser.advice}"
    return Arguments(tuple(parsed.met), parsed.check_config, parsed.strict, complaint)


class _Parser(argparse.ArgumentParser):
    @property
    def advice(self) -> str:
        return f"try '{self.prog} --help'"

    def error(self, message: str) -> NoReturn:
        complaint = f"{self.prog}: {message}; {self.advice}"
        print(printable(complaint), file=sys.stderr)
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


# What is about the command line only, by name.
_COMMANDS: dict[str, dict[str, Any]] = {
    "check_config": {"action": "store_true"},
    "strict": {"action": "store_true"},
    "help": {"action": "help"},
    "usage": {"action": _Usage, "nargs": 0},
    "version": {"action": "version", "version": f"mogstored {mogstored.__version__}"},
}


def build_parser(prog: str) -> _Parser:
    """Return the parser of the command line; completions are made of it."""
    parser = _Parser(
        prog=prog,
        description="Serve the files of a MogileFS storage node.",
        epilog=_FOOTER,
        add_help=False,
    )
    parser.set_defaults(met=[])
    for group in Group:
        arguments = parser.add_argument_group(group.value)
        for setting in SETTINGS:
            if setting.group is group:
                _add(arguments, setting)
    return parser


def _add(arguments: argparse._ArgumentGroup, setting: Setting) -> None:
    flags = [flag for flag in (setting.short, f"--{setting.option}") if flag]
    text = argparse.SUPPRESS if setting.is_hidden else help_text(setting)
    if setting.name in _COMMANDS:
        arguments.add_argument(*flags, help=text, **_COMMANDS[setting.name])
        return
    known: dict[str, Any] = {"action": _Meet, "dest": argparse.SUPPRESS}
    if setting.metavar:
        known |= {"metavar": setting.metavar, "const": (setting.option, None)}
    else:
        known |= {"nargs": 0, "const": (setting.option, "yes")}
    arguments.add_argument(*flags, help=text, **known)
    if setting.opposite:
        known["const"] = (setting.option, "no")
        arguments.add_argument(f"--no-{setting.option}", help=setting.opposite, **known)


def help_text(setting: Setting) -> str:
    """Return the line of the help."""
    default = setting.shown_default
    return f"{setting.help} (default: {default})" if default else setting.help


def _hint(parser: argparse.ArgumentParser, argument: str) -> str:
    """Suggest an option that is written much like `argument`."""
    if not argument.startswith("--"):
        return ""
    word = argument.partition("=")[0].lower().replace("_", "-")
    return did_you_mean(word, parser._option_string_actions)


def _refuse_single_dash(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Stop at `-config`, as Perl spells it, which would be read as `-c onfig`."""
    for argument in arguments:
        word = argument.partition("=")[0]
        if word.startswith("-") and "-" + word in parser._option_string_actions:
            parser.error(f"unknown option {word}: long options have two dashes")
