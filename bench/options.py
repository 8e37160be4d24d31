"""The command line of `python -m bench`, checked before anything is started."""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.base.plots import ENDINGS
from bench.load.wrk import spare_threads
from bench.scenarios import DEFAULT, SCENARIOS

# Options of some scenarios only.
_ABLE = {
    "against": ("requests", "fresh"),
    "calibrate": ("requests", "fresh"),
    "record": ("quick",),
}


@dataclass(frozen=True, slots=True)
class Options:
    scenarios: list[str]
    parts: list[str] | None
    """None is all of them."""
    list_only: bool
    quick: bool
    rounds: int | None
    seconds: float | None
    connections: tuple[int, ...] | None
    against: Path | None
    calibrate: bool
    cmogstored: str | None
    python: str
    node_args: list[str]
    gib: int | None
    docroot_parent: Path | None
    wrk_threads: int
    plot: Path | None
    json: Path | None
    strict: bool
    record: bool
    install: bool


def parse(argv: Sequence[str] | None = None) -> Options:
    parser = _parser()
    given = parser.parse_args(argv)
    given.scenarios = given.scenarios or [DEFAULT]
    for name in given.scenarios:
        if name not in SCENARIOS:
            homes = [home for home, each in SCENARIOS.items() if name in each.parts]
            if homes:
                parser.error(f"`{name}` is a part: `{homes[-1]} --parts {name}`")
            parser.error(_unknown("scenario", name, SCENARIOS))
    parts = [part for name in given.scenarios for part in SCENARIOS[name].parts]
    for name in given.parts or ():
        if name not in parts:
            parser.error(f"--parts: {_unknown('part', name, parts)}")
    for option, able in _ABLE.items():
        if getattr(given, option) and given.scenarios not in [[name] for name in able]:
            names = " or ".join(f"`{name}`" for name in able)
            parser.error(f"--{option} is for the scenario {names} alone")
    if given.calibrate and given.against:
        parser.error("--calibrate and --against exclude each other")
    if given.plot and sum(SCENARIOS[name].plot is not None for name in given.scenarios) != 1:
        drawn = " or ".join(name for name, each in SCENARIOS.items() if each.plot)
        parser.error(f"--plot draws one scenario: {drawn}")
    return Options(**vars(given))


def listing() -> str:
    """A line for each scenario, and one for each of its parts."""
    lines = []
    for name, scenario in SCENARIOS.items():
        lines.append(f"{name:<20}{scenario.about}")
        lines += [f"  {part:<18}{each.title}" for part, each in scenario.parts.items()]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure mogstored and mogpoll, beside peers where there are some.",
        epilog="scenarios:\n"
        + "\n".join(f"  {name:<12}{each.about}" for name, each in SCENARIOS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help=f"what to measure (default: {DEFAULT})")
    add(
        "--list",
        dest="list_only",
        action="store_true",
        help="the scenarios and their parts, a line each",
    )
    add("--parts", type=_words, metavar="A,B", help="some parts of the scenarios; see --list")
    add("--quick", action="store_true", help="a trial: one short round, less of everything")
    add("--rounds", type=_positive, metavar="N", help="alternating rounds")
    add("--seconds", type=_seconds, metavar="S", help="of one run")
    add("--connections", type=_counts, metavar="N,M", help="of requests (default: 1,16,64)")
    add(
        "--against",
        type=_checkout,
        metavar="DIR",
        help="requests, fresh: beside the node of another checkout, by its .venv or by PYTHONPATH",
    )
    add("--calibrate", action="store_true", help="nginx beside nginx, to see the noise")
    found = shutil.which("cmogstored")
    add(
        "--cmogstored", type=_program, default=found, metavar="PATH", help="(default: %(default)s)"
    )
    add("--python", type=_program, default=sys.executable, metavar="PATH", help="of the node")
    add("--node-args", type=shlex.split, default=[], metavar="ARGS", help="more for the node")
    add("--gib", type=_positive, metavar="N", help="large: size of the file (default: 10)")
    add("--docroot-parent", type=_directory, metavar="DIR", help="default: /dev/shm, else /tmp")
    spare = spare_threads()
    add("--wrk-threads", type=_positive, default=spare, metavar="N", help="(default: %(default)s)")
    add("--plot", type=_picture, metavar="FILE", help=f"draw {' or '.join(ENDINGS)}")
    add("--json", type=_writable, metavar="FILE", help="write every sample of every round")
    add("--strict", action="store_true", help="status 1 when a goal is missed, too")
    add("--record", action="store_true", help="quick: write the ratios down instead")
    add("--install", action="store_true", help="install nginx and wrk by apt-get if missing")
    return parser


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    known = list(dict.fromkeys(known))
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(known)}"
    return f"unknown {kind} `{name}`: {hint}"


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(text.split(",")))


def _checked(text: str, is_right: bool, wanted: str) -> None:
    if not is_right:
        raise argparse.ArgumentTypeError(f"not {wanted}: {text}")


def _positive(text: str) -> int:
    _checked(text, text.isdecimal() and int(text) > 0, "a positive number")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_positive(word) for word in text.split(","))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    _checked(text, 0.1 <= seconds <= 600, "from 0.1 to 600 seconds")
    return seconds


def _program(text: str) -> str:
    found = shutil.which(text)
    _checked(text, found is not None, "a program")
    return os.path.abspath(found or "")


def _path(is_right: Callable[[Path], bool], wanted: str) -> Callable[[str], Path]:
    def parse_path(text: str) -> Path:
        path = Path(text).resolve()
        _checked(text, is_right(path), wanted)
        return path

    return parse_path


def _can_be_written(file: Path) -> bool:
    return not file.is_dir() and os.access(file if file.exists() else file.parent, os.W_OK)


_writable = _path(_can_be_written, "a file that can be written")
_picture = _path(
    lambda file: file.suffix in ENDINGS and _can_be_written(file),
    f"a file that can be written and ends in {' or '.join(ENDINGS)}",
)
_directory = _path(
    lambda each: each.is_dir() and os.access(each, os.W_OK | os.X_OK), "a directory to write in"
)
_checkout = _path(
    lambda each: (each / "mogstored/__main__.py").is_file(),
    "a checkout (no mogstored/__main__.py)",
)
