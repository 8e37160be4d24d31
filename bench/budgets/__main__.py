"""`python -m bench.budgets`: one command, one table, and nothing left running or lying about."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from typing import Any

from bench import machine, tools
from bench.budgets import options
from bench.budgets.options import Options
from bench.budgets.rows import ROWS
from bench.budgets.setting import FULL, CannotMeasure, Setting
from bench.cpu import NotLinux, require_proc
from bench.goals import GOALS
from bench.idle import FileLimitTooLow
from bench.load import Load
from bench.outcome import Outcome, heading, plain, row
from bench.peers import PeerFailed, Workshop
from bench.report import LoadError
from bench.rounds import Method
from bench.ways_out import make_signals_leave, working_place
from bench.works import MIB, write_content
from tests.support.fuse.control import CannotMount

# This machine lacks something: the row says so, and nothing has failed.
_ABSENT = (CannotMeasure, CannotMount, FileLimitTooLow)
_FAILED = (LoadError, PeerFailed, OSError)
_NOTHING_TO_MEASURE = (NotLinux, machine.PlaceUnfit, tools.ToolMissing, *_FAILED)


def main() -> int:
    wanted = options.parse()
    make_signals_leave()
    try:
        return _measure(wanted)
    except _NOTHING_TO_MEASURE as error:
        _say(f"bench.budgets: FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        _say("\nbench.budgets: interrupted, all servers are stopped")
        return 130


def _measure(wanted: Options) -> int:
    require_proc()
    found = tools.find_tools(wanted.install)
    space = wanted.scale.space_bytes
    parent = wanted.docroot_parent or machine.default_docroot_parent(space)
    if machine.free_bytes(parent) < space:
        raise machine.PlaceUnfit(f"{parent} has less than {space // MIB} MiB free")
    run = Run(wanted)
    with working_place(parent) as place:
        node = machine.about_node(wanted.python, place)
        facts = machine.facts_of_comparison(found, place, _method(wanted), node)
        if wanted.cmogstored is not None:
            facts["cmogstored"] = wanted.cmogstored
        print(machine.format_facts(facts), heading(), sep="\n\n", flush=True)
        write_content(place / "content")
        build = tools.nginx_build(found.nginx)
        shop = Workshop(place, place / "content", found.nginx, build, wanted.python)
        load = Load(found.wrk, wanted.wrk_threads)
        method = Method(load, wanted.rounds, wanted.seconds, _progress)
        try:
            run.measure_all(Setting(place, shop, method, wanted.scale, wanted.cmogstored))
        finally:
            if wanted.json is not None:
                everything = {"header": facts, "results": run.results}
                wanted.json.write_text(json.dumps(everything, indent=1) + "\n")
    print(f"\n{summary(run.outcomes)}")
    return run.status()


class Run:
    """Measures the rows, and keeps what has been measured so far."""

    def __init__(self, wanted: Options) -> None:
        self._wanted = wanted
        self._has_failed = False
        self.outcomes: list[Outcome] = []
        self.results: list[dict[str, Any]] = []

    def measure_all(self, setting: Setting) -> None:
        """Measure row by row; one that fails does not keep the others from being measured."""
        names = self._wanted.rows
        for number, name in enumerate(names, 1):
            _say(f"row {number} of {len(names)}: {name}")
            place = setting.place / name
            place.mkdir()
            workshop = replace(setting.workshop, place=place)
            self._measure_row(name, replace(setting, place=place, workshop=workshop))
            shutil.rmtree(place)

    def _measure_row(self, name: str, setting: Setting) -> None:
        try:
            # All of it first: its servers are stopped then, whatever becomes of the printing.
            for outcome in list(ROWS[name].measure(setting)):
                self._keep(name, outcome)
        except _ABSENT as reason:
            self._keep(name, unmeasured(name, str(reason)))
        except _FAILED as error:
            self._has_failed = True
            _say(f"bench.budgets: {name} FAILED: {error}")
            self._keep(name, unmeasured(name, "FAILED, see stderr"))

    def _keep(self, name: str, outcome: Outcome) -> None:
        _progress("")
        print(row(outcome), flush=True)
        self.outcomes.append(outcome)
        self.results.append({"row": name, **plain(outcome)})

    def status(self) -> int:
        is_missed = any(outcome.is_met is False for outcome in self.outcomes)
        return 1 if self._has_failed or (self._wanted.strict and is_missed) else 0


def unmeasured(name: str, why_not: str) -> Outcome:
    """The line of a row that has no figure, which is shown like all others."""
    # A table has one line for a row, whatever the reason is made of.
    return Outcome(ROWS[name].title, str(GOALS[name]), "", None, {}, " ".join(why_not.split()))


def summary(outcomes: list[Outcome]) -> str:
    met, missed = (sum(each.is_met is kind for each in outcomes) for kind in (True, False))
    absent = sum(bool(each.why_not) for each in outcomes)
    return f"{met} met, {missed} missed, {absent} not measured"


def _method(wanted: Options) -> str:
    text = (
        f"{wanted.rounds} alternating rounds of {wanted.seconds} s after a warm-up; "
        "ratios of the same round: median (lowest-highest)"
    )
    return text if wanted.scale is FULL else f"{text}; --quick: a trial, the figures say little"


def _say(text: str) -> None:
    _progress("")
    print(text, file=sys.stderr, flush=True)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
