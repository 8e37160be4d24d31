"""`mogstored device`, from its arguments to its exit status.

It changes the record that running nodes follow, and touches no device.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from mogstored.check_disks.parser import EX_USAGE
from mogstored.device_command.arguments import Options, parse
from mogstored.devices.sickness.record import StandingRecord
from mogstored.devices.sickness.standing import WELL, Entry, Standing, ask_for_check, order
from mogstored.files.docroot import Docroot
from mogstored.files.names import device_number
from mogstored.files.state_dir import StateDir
from mogstored.log.printable import printable, reason

_ORDERS: dict[str, Callable[[Entry], Entry]] = {
    "readonly": lambda _: order(Standing.NO_WRITES, time.time()),
    "down": lambda _: order(Standing.DOWN, time.time()),
    "ok": lambda _: order(Standing.OK, time.time()),
    "check": ask_for_check,
}


def main(prog: str, arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    options = parse(prog, arguments)
    name = options.device
    if name is not None and device_number(os.fsencode(name)) is None:
        print(printable(f"{prog}: '{name}' is not of the form devN"), file=sys.stderr)
        return EX_USAGE
    try:
        docroot = Docroot(options.docroot)
        present = docroot.names()
    except OSError as error:
        print(printable(f"{prog}: {options.docroot}: {reason(error)}"), file=sys.stderr)
        return EX_USAGE
    if name is not None and os.fsencode(name) not in present:
        print(printable(f"{prog}: {options.docroot} has no {name}"), file=sys.stderr)
        return EX_USAGE
    record = StandingRecord(StateDir(docroot))
    if name is not None and options.order is not None:
        if not record.change({name: _ORDERS[options.order]}):
            # The reason was logged.
            return 1
        if not options.json:
            print(_answer(name, options.order, record))
            return 0
    numbers = sorted(number for each in present if (number := device_number(each)) is not None)
    entries = record.read() or {}
    names = [f"dev{number}" for number in numbers]
    shown = {each: entries.get(each, WELL) for each in names if name in (None, each)}
    print(_as_json(options, shown) if options.json else _as_table(shown))
    return 0


def _answer(name: str, order: str, record: StandingRecord) -> str:
    entry = (record.read() or {}).get(name, WELL)
    if order == "check":
        if entry.standing is Standing.OK:
            return f"{name} is in use; 'mogstored check-disks' checks such a device"
        return (
            f"{name} is {entry.standing}; the running node checks it now, and logs what it finds"
        )
    return f"{name} is {entry.standing} from now on"


def _as_table(entries: Mapping[str, Entry]) -> str:
    lines = [f"{'DEVICE':<12}{'STATE':<11}{'SINCE':<21}CAUSE"]
    for name, entry in entries.items():
        if entry.standing is Standing.OK:
            lines.append(f"{name:<12}{entry.standing}")
            continue
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.since))
        cause = entry.cause
        if entry.last_check:
            cause += f"; the last check failed at {entry.last_check}"
        lines.append(printable(f"{name:<12}{entry.standing:<11}{since:<21}{cause}"))
    return "\n".join(lines)


def _as_json(options: Options, entries: Mapping[str, Entry]) -> str:
    devices = [{"device": name, **entry.encode()} for name, entry in entries.items()]
    docroot = printable(options.docroot)
    return json.dumps({"schema": 1, "docroot": docroot, "devices": devices}, indent=1)
