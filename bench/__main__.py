"""`python -m bench [SCENARIO...]`: one command, one table, and nothing left running or lying."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from bench.bad_disk.control import CannotMount
from bench.base import cleanup, machine
from bench.base.machine import Unmeasurable
from bench.base.outcome import Outcome, heading, markdown, row
from bench.base.plots import require_matplotlib
from bench.environment import FULL, QUICK, Environment, Scale
from bench.load.wrk import LoadError, Wrk
from bench.options import Options, listing, parse
from bench.requests.quick import record
from bench.scenarios import SCENARIOS, Scenario
from bench.servers import tools
from bench.servers.peers import PeerFailed, Peers
from bench.servers.tools import Node, ToolMissing
from bench.servers.workloads import GET_1K, GIB, WORKLOADS, write_files

# The machine lacks something: the part says so, and nothing has failed.
_ABSENT = (CannotMount, Unmeasurable)
# Two checkouts differ by less than the rounds of one.
_ROUNDS_AGAINST = 9
_FAILED = (LoadError, PeerFailed, psutil.Error, OSError)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    if options.list_only:
        print(listing())
        return 0
    cleanup.exit_on_signals()
    run = Run(options)
    try:
        run.measure_all()
    except (*_FAILED, Unmeasurable, ToolMissing) as error:
        say(f"bench: FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("bench: interrupted, all processes are stopped")
        return 130
    finally:
        run.write_json()
    return run.status()


class Run:
    """Measures what is asked for, and keeps what has been measured so far."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._has_failed = False
        self._facts: dict[str, str] = {}
        self._results: list[tuple[str, str, Outcome]] = []

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for _, _, outcome in self._results]

    def measure_all(self) -> None:
        if self._options.plot:
            require_matplotlib()
        scenarios = {name: SCENARIOS[name] for name in self._options.scenarios}
        with ExitStack() as stack:
            environment = self._prepare(stack, list(scenarios.values()))
            print("\n".join(f"{name + ':':<13}{value}" for name, value in self._facts.items()))
            for name, scenario in scenarios.items():
                self.measure(name, scenario, environment)
        print(f"\n{summary(self.outcomes)}")

    def measure(self, name: str, scenario: Scenario, environment: Environment) -> None:
        """Measure part by part; one that fails does not keep the others from being measured."""
        options = self._options
        parts = [each for each in scenario.parts if each in (options.parts or scenario.parts)]
        if not parts:
            return
        quick = 1 if options.quick else None
        usual = _ROUNDS_AGAINST if options.against else scenario.rounds
        rounds = options.rounds or quick or usual
        seconds = options.seconds or quick or scenario.seconds
        print(f"\n{scenario.about}\nrounds: {rounds}, of {seconds:g} s\n{heading()}", flush=True)
        for part in parts:
            workdir = environment.workdir / name / part
            workdir.mkdir(parents=True)
            own = replace(
                environment,
                workdir=workdir,
                peers=replace(environment.peers, workdir=workdir),
                rounds=rounds,
                seconds=seconds,
                progress=_progress_of(f"{name}, {part}"),
            )
            try:
                # All of it first: its servers are stopped then, whatever becomes of the printing.
                found = list(scenario.parts[part].measure(own))
            except _ABSENT as reason:
                found = [unmeasured(scenario, part, str(reason))]
            except _FAILED as error:
                self._has_failed = True
                say(f"bench: {name}, {part} FAILED: {error}")
                found = [unmeasured(scenario, part, "FAILED, see stderr")]
            progress("")
            print(*map(row, found), sep="\n", flush=True)
            self._results += [(name, part, outcome) for outcome in found]
            shutil.rmtree(workdir)
        if scenario.with_table:
            print(f"\n{markdown([each for of, _, each in self._results if of == name])}")
        if options.plot and scenario.plot:
            scenario.plot(self.outcomes, options.plot)
            print(f"plot: {options.plot}")
        if options.record and not self._has_failed:
            record(self.outcomes)

    def status(self) -> int:
        options = self._options
        strict = options.strict or any(SCENARIOS[name].strict for name in options.scenarios)
        missed = any(outcome.is_met is False for outcome in self.outcomes)
        return 1 if self._has_failed or (strict and missed and not options.record) else 0

    def write_json(self) -> None:
        if self._options.json is None or not self._facts:
            return
        results = [
            {"scenario": name, "part": part, **asdict(outcome), "what": outcome.what.strip()}
            for name, part, outcome in self._results
        ]
        everything = {"header": self._facts, "results": results}
        self._options.json.write_text(json.dumps(everything, indent=1, default=_plain) + "\n")

    def _prepare(self, stack: ExitStack, scenarios: list[Scenario]) -> Environment:
        """Find what is needed, and write the files. Raises: ToolMissing, Unmeasurable."""
        options, scale = self._options, scale_of(self._options)
        self._facts |= machine.facts()
        with_nodes = any(scenario.on_linux for scenario in scenarios)
        if with_nodes and not Path("/proc/self/smaps").exists():
            raise Unmeasurable(
                "this measures by Linux's /proc; only balance, examples and poller do not"
            )
        wanted = {tool for scenario in scenarios for tool in scenario.tools}
        if options.against:
            wanted -= {"nginx"}
        found = tools.find(sorted(wanted), options.install)
        build = tools.nginx_build(found["nginx"]) if "nginx" in found else ""
        self._facts |= {name: tools.version(path, "-v") for name, path in found.items()}
        node, before = Node(options.python, _python_path()), None
        if with_nodes:
            self._facts["node"] = node.about()[1]
        if options.against:
            before = tools.node_of(options.against)
            self._facts["before"] = before.about()[1]
        if options.cmogstored:
            self._facts["cmogstored"] = options.cmogstored
        space = max(scenario.space_bytes(scale) for scenario in scenarios)
        parent = machine.docroot_parent(space, options.docroot_parent)
        workdir = stack.enter_context(cleanup.workdir(parent))
        self._facts["docroots"] = f"{parent}, {machine.file_system(parent)}"
        self._facts["method"] = "alternating rounds; median (lowest-highest); ratios by round"
        if options.quick:
            self._facts["method"] += "; --quick: a trial, the figures say little"
        content = workdir / "content"
        (content / "dev1").mkdir(parents=True)
        # Nodes alone are asked for one kind of file.
        write_files(content, *(WORKLOADS.values() if wanted else [GET_1K]))
        default = (16,) if options.against or options.calibrate else scale.connections
        return Environment(
            workdir,
            Peers(workdir, content, node, found.get("nginx", ""), build, options.node_args),
            Wrk(found.get("wrk", ""), options.wrk_threads),
            rounds=1,
            seconds=1,
            scale=scale,
            connections=options.connections or default,
            before=before,
            calibrate=options.calibrate,
            cmogstored=options.cmogstored,
        )


def scale_of(options: Options) -> Scale:
    scale = QUICK if options.quick else FULL
    return scale if options.gib is None else replace(scale, large_bytes=options.gib * GIB)


def unmeasured(scenario: Scenario, part: str, why_not: str) -> Outcome:
    # A table has one line for it, whatever the reason is made of.
    return Outcome(scenario.parts[part].title, why_not=" ".join(why_not.split()))


def summary(outcomes: Iterable[Outcome]) -> str:
    outcomes = list(outcomes)
    met, missed = (sum(each.is_met is kind for each in outcomes) for kind in (True, False))
    absent = sum(bool(each.why_not) for each in outcomes)
    return f"{met} met, {missed} missed, {absent} not measured"


def say(text: str) -> None:
    progress("")
    print(text, file=sys.stderr, flush=True)


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _progress_of(what: str) -> Callable[[str], None]:
    return lambda text: progress(f"{what}: {text}")


def _python_path() -> dict[str, str]:
    """PYTHONPATH as it still holds in another directory."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    absolute = [os.path.abspath(entry) for entry in entries if entry]
    return {"PYTHONPATH": os.pathsep.join(absolute)} if absolute else {}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
