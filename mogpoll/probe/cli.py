"""The command line of the probe."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mogpoll.backends import open_poller
from mogpoll.probe.experiment import Experiment, catalogue
from mogpoll.probe.isolation import run_isolated
from mogpoll.probe.report import Report, Unreadable, read, this_place
from mogpoll.probe.table import differences, for_people, side_by_side

_LIMIT_S = 20.0
_SAME, _DIFFERENT, _MISUSE = 0, 1, 2
_STDOUT = "-"

_EPILOG = """\
exit status: 0 every relied-on answer holds; 1 one does not; 2 wrong usage

  python -m mogpoll compare FILE.json FILE.json ...   differing answers (status 1, else 0)
  python -m mogpoll table FILE.json ...               all answers side by side, in Markdown
"""


def main(arguments: Sequence[str], *, version: str = "") -> int:
    """Run the probe, or its `compare` or `table` command; return the exit status."""
    try:
        if arguments and arguments[0] == "compare":
            return _compare(arguments[1:])
        if arguments and arguments[0] == "table":
            return _tabulate(arguments[1:])
        return _probe(arguments, version)
    except Unreadable as error:
        print(f"mogpoll: {error}", file=sys.stderr)
        return _MISUSE
    except BrokenPipeError:
        # The reader of the output has closed it. The interpreter would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _MISUSE


def _compare(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mogpoll compare",
        description="Show the answers in which systems differ. Exit status: 0 none differs, "
        "1 some differ, 2 a file cannot be read.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    files = parser.parse_args(arguments).files
    if len(files) < 2:
        parser.error("at least two files are needed")
    reports = [read(path) for path in files]
    found = differences(reports)
    for number, report in enumerate(reports, 1):
        print(f"{number}: {report.place}")
    print()
    print(found or "no answer differs", end="" if found else "\n")
    return _DIFFERENT if found else _SAME


def _tabulate(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mogpoll table", description="Print answers side by side, in Markdown."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    print(side_by_side([read(path) for path in parser.parse_args(arguments).files]), end="")
    return _SAME


def _probe(arguments: Sequence[str], version: str) -> int:
    parser = _parser(version)
    options = parser.parse_args(arguments)
    if options.limit <= 0:
        parser.error(f"--limit {options.limit:g}: must be more than 0 seconds")
    chosen = _chosen(options.only, parser)
    if options.list:
        for experiment in chosen:
            print(f"{experiment.name:30} {experiment.question}")
        return _SAME
    _check_backend(parser)
    report = Report(this_place(), [run_isolated(one, options.limit) for one in chosen])
    if options.json == _STDOUT:
        print(report.as_json(), end="")
    else:
        print(for_people(report), end="")
        if options.json is not None:
            _write(report.as_json(), options.json, parser)
    return _DIFFERENT if report.broken() else _SAME


def _parser(version: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mogpoll",
        description="Check what mogpoll relies on in this system's kernel.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const=_STDOUT,
        metavar="FILE",
        help="write results as JSON to FILE, or to standard output instead of the table",
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME[,NAME]", help="run these experiments only"
    )
    parser.add_argument("--version", action="version", version=f"mogpoll {version}")
    parser.add_argument("--list", action="store_true", help="list the experiments and exit")
    parser.add_argument(
        "--limit",
        type=float,
        default=_LIMIT_S,
        metavar="SECONDS",
        help="time limit of one experiment (default: %(default)g)",
    )
    return parser


def _chosen(only: list[str] | None, parser: argparse.ArgumentParser) -> list[Experiment]:
    known = {experiment.name: experiment for experiment in catalogue()}
    if only is None:
        return list(known.values())
    names = [name.strip() for names in only for name in names.split(",")]
    for name in names:
        if name not in known:
            parser.error(f"no experiment {name!r}; --list shows them")
    return [known[name] for name in dict.fromkeys(names)]


def _check_backend(parser: argparse.ArgumentParser) -> None:
    """Exit early if no poller opens. In a child, since libkqueue leaves a thread."""
    found = run_isolated(Experiment("backend", "", lambda: open_poller().close()), _LIMIT_S)
    if found.outcome != "answered":
        parser.error(f"cannot open a poller: {found.detail or found.answer}")


def _write(text: str, path: str, parser: argparse.ArgumentParser) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        parser.error(f"--json {path}: {error.strerror}")
