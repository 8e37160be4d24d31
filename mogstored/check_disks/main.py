"""`mogstored check-disks`, from its arguments to its exit status."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from mogstored.check_disks.apart import NoProcess, check_apart
from mogstored.check_disks.arguments import Options, parse
from mogstored.check_disks.exercise import STEPS, Result
from mogstored.check_disks.parser import EX_USAGE
from mogstored.files.names import device_number
from mogstored.log.printable import printable, reason

_MIB = 1024 * 1024
# Of these the rate says more than the time.
_RATED = ("write", "read")


def main(prog: str, arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    options = parse(prog, arguments)
    try:
        devices = find_devices(options.docroot, options.devices)
    except OSError as error:
        what = printable(f"{prog}: {error.filename}: {reason(error)}")
        print(what, file=sys.stderr)
        return EX_USAGE
    if not devices:
        print(printable(f"{prog}: {options.docroot} has no device"), file=sys.stderr)
        return 1
    return _check(prog, options, devices)


def find_devices(docroot: str, names: Iterable[str]) -> list[Path]:
    """Return the devices of a docroot, by number; with `names`, only these.

    **Raises:** `OSError` if the docroot, or one that is named, is not there.
    """
    found = {
        number: name
        for name in os.listdir(docroot)
        if (number := device_number(os.fsencode(name))) is not None
    }
    for name in names:
        if name not in found.values():
            raise FileNotFoundError(2, "no such device", f"{docroot}/{name}")
    chosen = set(names) or set(found.values())
    return [Path(docroot, found[number]) for number in sorted(found) if found[number] in chosen]


def _check(prog: str, options: Options, devices: Sequence[Path]) -> int:
    results: dict[str, dict[str, object]] = {}
    is_whole = True
    if not options.json:
        steps = (f"{step} MiB/s" if step in _RATED else f"{step} ms" for step in STEPS)
        print("DEVICE     " + "".join(f"{step:>13}" for step in steps) + "  VERDICT", flush=True)
    checks = check_apart(devices, options.size, options.timeout_s, in_parallel=options.parallel)
    try:
        for directory, result in checks:
            is_whole = is_whole and not result.failed
            results[directory.name] = _as_json(directory, result)
            if not options.json:
                print(_as_line(directory.name, result), flush=True)
    except NoProcess as error:
        is_whole = False
        print(f"{prog}: cannot start a check: {error}", file=sys.stderr)
    if options.json:
        ordered = [results[each.name] for each in devices if each.name in results]
        docroot = printable(options.docroot)
        print(json.dumps({"schema": 1, "docroot": docroot, "devices": ordered}, indent=1))
    return 0 if is_whole else 1


def _as_line(name: str, result: Result) -> str:
    cells = []
    for step in STEPS:
        seconds = result.seconds.get(step)
        if seconds is None:
            cells.append("-")
        elif step in _RATED:
            cells.append(f"{_rate(result, step):.1f}")
        else:
            cells.append(f"{seconds * 1000:.1f}")
    verdict = f"FAILED at {result.failed}: {result.reason}" if result.failed else "ok"
    return f"{name:<11}" + "".join(f"{cell:>13}" for cell in cells) + f"  {printable(verdict)}"


def _as_json(directory: Path, result: Result) -> dict[str, object]:
    rates = {
        f"{step}_mib_per_second": round(_rate(result, step), 1)
        for step in _RATED
        if step in result.seconds
    }
    return {
        "device": directory.name,
        "path": printable(str(directory)),
        "ok": not result.failed,
        "failed": result.failed or None,
        "reason": result.reason or None,
        "size_bytes": result.size,
        "seconds": {step: round(seconds, 6) for step, seconds in result.seconds.items()},
        **rates,
    }


def _rate(result: Result, step: str) -> float:
    """Return MiB a second; what was written is on the disk only after the sync."""
    seconds = result.seconds[step]
    if step == "write":
        seconds += result.seconds.get("sync", 0.0)
    return result.size / _MIB / max(seconds, 1e-6)
