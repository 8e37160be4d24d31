"""The command line of `python -m vm`.

The status is the suite's. A step that fails gives 1, a wrong command line 2, Ctrl-C 130. A failed
run leaves its machine running, to look at and to try again; the machines after it have their turn.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence

from vm import doctor, end_of_life
from vm.drivers.choice import driver_for
from vm.drivers.driver import Driver, RunOptions, State, require_running
from vm.errors import VMError
from vm.guest import suite
from vm.machines import Machines, find, load, select
from vm.progress import step

_COMMANDS = {
    "list": "show the machines and their states",
    "doctor": "show what this host lacks to run them; downloads nothing",
    "up": "start it; downloads or builds its image first",
    "sync": "copy this checkout into it",
    "provision": "install the system packages that the suite needs",
    "test": "all of that, then run the suite; arguments after -- are pytest's",
    "results": "fetch the results of the last run",
    "halt": "shut it down; its disk stays",
    "destroy": "remove it with its disk; downloads stay",
}


def main(argv: Sequence[str] | None = None) -> int:
    wanted, pytest_arguments = _parse(sys.argv[1:] if argv is None else argv)
    options = RunOptions(wanted.vagrant, wanted.offline, wanted.patience)
    try:
        machines = load()
        select(machines, wanted.names)
        if wanted.command == "list":
            return _list(machines, options)
        if wanted.command == "doctor":
            return _doctor(machines, wanted.names or [*machines, *machines.broken], options)
        outcomes = [
            (name, _one(machines, name, wanted.command, pytest_arguments, options))
            for name in wanted.names
        ]
        if len(outcomes) > 1:
            _sum_up(outcomes)
        return next((status for _, status in outcomes if status), 0)
    except VMError as error:
        return _complain(error)
    except KeyboardInterrupt:
        print(
            "\nvm: interrupted. Running machines stay up: the same command resumes, `halt` and "
            "`destroy` stop them.",
            file=sys.stderr,
        )
        return 130


def _complain(error: VMError) -> int:
    print(f"vm: {error}", file=sys.stderr)
    if error.advice:
        print(f"    {error.advice}", file=sys.stderr)
    return 1


def _one(
    machines: Machines, name: str, command: str, arguments: Sequence[str], options: RunOptions
) -> int:
    """Do it to one machine; a failure is printed and is its status."""
    try:
        machine = find(machines, name)
        driver = driver_for(machine, options)
        if command in ("up", "test") and driver.state() is not State.RUNNING:
            for warning in doctor.require(machine, options, _today()):
                step(name, f"note: {warning}")
        return _do(command, driver, arguments, options)
    except VMError as error:
        return _complain(error)


def _sum_up(outcomes: Sequence[tuple[str, int]]) -> None:
    print(f"==> {len(outcomes)} machines:")
    for name, status in outcomes:
        print(f"    {name:<12} {'ok' if status == 0 else f'FAILED with status {status}'}")


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _do(command: str, driver: Driver, arguments: Sequence[str], options: RunOptions) -> int:
    if command in ("up", "halt", "destroy"):
        getattr(driver, command)()
    elif command == "sync":
        require_running(driver)
        suite.sync(driver)
    elif command == "provision":
        require_running(driver)
        suite.sync(driver)
        suite.provision(driver)
    elif command == "results":
        require_running(driver)
        suite.fetch_results(driver)
    else:
        return _test(driver, arguments, options)
    return 0


def _test(driver: Driver, arguments: Sequence[str], options: RunOptions) -> int:
    driver.up()
    suite.sync(driver)
    suite.provision(driver)
    status = suite.test(driver, arguments, options.offline)
    name = driver.machine.name
    if status == 0:
        step(name, f"passed; vm/results/{name} has the results")
    else:
        step(name, f"FAILED with status {status}; vm/results/{name} has the results.")
        print(f"    It still runs: `python -m vm test {name} -- -k TEST` repeats one test in it.")
    return status


def _list(machines: Machines, options: RunOptions) -> int:
    row = "{:<12} {:<8} {:<8} {:<9} {}".format
    print(row("name", "system", "release", "by", "state"))
    for machine in machines.values():
        by = "qemu" if machine.image and not options.vagrant else "vagrant"
        try:
            state = driver_for(machine, options).state().value
        except VMError as error:
            state = str(error)
        print(row(machine.name, machine.system, machine.release, by, state))
    for wrong in machines.broken.values():
        print(f"vm: {wrong}", file=sys.stderr)
    for warning in end_of_life.warnings(machines.values(), _today()):
        print(f"vm: {warning}", file=sys.stderr)
    return 0


def _doctor(machines: Machines, names: Sequence[str], options: RunOptions) -> int:
    """Print each finding once, with the machines that it concerns."""
    concerned: dict[doctor.Finding, list[str]] = {}
    for name in names:
        if name in machines.broken:
            found = [doctor.Finding(str(machines.broken[name]), "", is_fatal=True)]
        else:
            found = doctor.examine(machines[name], options, _today())
        for finding in found:
            concerned.setdefault(finding, []).append(name)
    for finding, whose in concerned.items():
        print(f"{'missing' if finding.is_fatal else 'note':<9}{finding.what}")
        print(f"{'':<9}for {', '.join(whose)}")
        if finding.advice:
            print(f"{'':<9}{finding.advice}")
    stopped = {name for finding, whose in concerned.items() if finding.is_fatal for name in whose}
    able = [name for name in names if name not in stopped]
    print(f"can run here: {', '.join(able) or 'none'}")
    return 1 if stopped else 0


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    own, pytest_arguments = list(argv), []
    if "--" in own:
        cut = own.index("--")
        own, pytest_arguments = own[:cut], own[cut + 1 :]
    parser = argparse.ArgumentParser(
        prog="python -m vm",
        description="Run the suite in virtual machines; see docs/vm.md.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {n:<11}{t}" for n, t in _COMMANDS.items()),
    )
    parser.add_argument("command", choices=_COMMANDS, metavar="COMMAND")
    parser.add_argument("names", nargs="*", metavar="NAME", help="machines, as in `list`")
    parser.add_argument(
        "--vagrant", action="store_true", help="use the box even if there is an image"
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="the guest has no internet: download its packages on this host and copy them",
    )
    parser.add_argument(
        "--patience",
        type=_factor,
        metavar="N",
        help="multiply all time limits by N; default 10 for an emulated guest, otherwise 1",
    )
    wanted = parser.parse_args(own)
    if wanted.command not in ("list", "doctor") and not wanted.names:
        parser.error(f"{wanted.command} needs the name of a machine; `list` shows them")
    if pytest_arguments and wanted.command != "test":
        parser.error("arguments after -- are for pytest: they go with `test` only")
    return wanted, pytest_arguments


def _factor(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError("must be between 0 and 1000")
    return value
