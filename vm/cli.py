"""The command line of `python -m vm`: what is asked for, step by step, and how it ends.

The status is the suite's. A step that fails gives 1, a wrong command line 2, Ctrl-C 130. Machines
are left as they are: a failed run can be looked at, and tried again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vm import suite
from vm.driver import Driver, Wishes, driver_for, require_running
from vm.errors import VMError
from vm.machines import Machine, load, select
from vm.progress import step

_COMMANDS = {
    "list": "show the machines and their states",
    "up": "have it running, downloading or building what is needed",
    "sync": "copy this checkout into it",
    "provision": "install what the suite needs from its system",
    "test": "all of that, then run the suite; arguments after -- are pytest's",
    "results": "fetch the results of the last run",
    "halt": "shut it down; its disk stays",
    "destroy": "remove it with its disk; downloads stay",
}


def main(argv: Sequence[str] | None = None) -> int:
    wanted, pytest_arguments = _parse(sys.argv[1:] if argv is None else argv)
    wishes = Wishes(wanted.vagrant, wanted.offline, wanted.patience)
    try:
        machines = load()
        if wanted.command == "list":
            return _list(machines, wishes)
        worst = 0
        for machine in select(machines, wanted.names):
            status = _do(wanted.command, driver_for(machine, wishes), pytest_arguments, wishes)
            worst = worst or status
        return worst
    except VMError as error:
        print(f"vm: {error}", file=sys.stderr)
        if error.advice:
            print(f"    {error.advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nvm: interrupted. Machines that run go on running: the same command takes up where "
            "this one ended, `halt` and `destroy` end them.",
            file=sys.stderr,
        )
        return 130


def _do(command: str, driver: Driver, arguments: Sequence[str], wishes: Wishes) -> int:
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
        return _test(driver, arguments, wishes)
    return 0


def _test(driver: Driver, arguments: Sequence[str], wishes: Wishes) -> int:
    driver.up()
    suite.sync(driver)
    suite.provision(driver)
    status = suite.test(driver, arguments, wishes.offline)
    name = driver.machine.name
    if status == 0:
        step(name, f"passed; vm/results/{name} has the results")
    else:
        step(name, f"FAILED with status {status}; vm/results/{name} has the results. It still")
        print(f"    runs: `python -m vm test {name} -- -k TEST` repeats one test in it.")
    return status


def _list(machines: dict[str, Machine], wishes: Wishes) -> int:
    row = "{:<12} {:<8} {:<8} {:<9} {}".format
    print(row("name", "system", "release", "by", "state"))
    for machine in machines.values():
        by = "qemu" if machine.image and not wishes.vagrant else "vagrant"
        try:
            state = driver_for(machine, wishes).state().value
        except VMError as error:
            state = str(error)
        print(row(machine.name, machine.system, machine.release, by, state))
    return 0


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    own, pytest_arguments = list(argv), []
    if "--" in own:
        cut = own.index("--")
        own, pytest_arguments = own[:cut], own[cut + 1 :]
    parser = argparse.ArgumentParser(
        prog="python -m vm",
        description="Run the suite in virtual machines. docs/vm.md tells more.",
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
        help="the guest has no internet: gather packages on this host, and give it those",
    )
    parser.add_argument(
        "--patience",
        type=_factor,
        metavar="N",
        help="wait N times longer for all things; 10 if the guest is emulated, otherwise 1",
    )
    wanted = parser.parse_args(own)
    if wanted.command != "list" and not wanted.names:
        parser.error(f"{wanted.command} needs the name of a machine; `list` shows them")
    if pytest_arguments and wanted.command != "test":
        parser.error("arguments after -- are pytest's, and go with `test` only")
    return wanted, pytest_arguments


def _factor(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError("must be between 0 and 1000")
    return value
