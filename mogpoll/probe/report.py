"""The results of one run, the system they come from, and both as JSON."""

from __future__ import annotations

import json
import os
import platform
import select
import sys
import sysconfig
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from mogpoll.backends import backend_name
from mogpoll.probe.isolation import Outcome, Result

# To be raised when an older reader would misread the file.
FORMAT = "mogpoll-probe/1"


NOT_SHOWN = "not shown"


class Unreadable(Exception):
    """A file is not the output of `python -m mogpoll --json`; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """The system, the interpreter, and the queue that were probed.

    `kernel_code` names what ran the code of that kernel in a process of another system, as a
    library; None if the system itself was probed.
    """

    system: str
    release: str
    machine: str
    python: str
    interpreter_lock: bool
    free_threaded_build: bool
    backend: str
    library: str | None
    kernel_code: str | None = None

    def __str__(self) -> str:
        lock = "" if self.interpreter_lock else " without the lock"
        system = f"{self.system} {self.release} {self.machine}"
        if self.kernel_code:
            system = f"code of {system}, run by {self.kernel_code}"
        return f"{system}, {self.python}{lock}, {self.queue}"

    @property
    def name(self) -> str:
        """The system, as the heading of a column."""
        return f"code of {self.system} {self.release}" if self.kernel_code else self.system

    @property
    def queue(self) -> str:
        return f"{self.backend} over {self.library}" if self.library else self.backend


@dataclass(frozen=True, slots=True)
class Report:
    """One run of the probe."""

    place: Place
    results: list[Result]

    def broken(self) -> list[Result]:
        return [result for result in self.results if result.holds is False]

    def as_json(self) -> str:
        results = [{**asdict(result), "holds": result.holds} for result in self.results]
        data = {"format": FORMAT, "place": asdict(self.place), "experiments": results}
        return json.dumps(data, indent=1) + "\n"


def this_place() -> Place:
    """Describe this system."""
    return Place(
        system=platform.system(),
        release=platform.release(),
        machine=platform.machine(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        interpreter_lock=bool(getattr(sys, "_is_gil_enabled", lambda: True)()),
        free_threaded_build=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        backend=backend_name(),
        library=_library_name(),
    )


def _library_name() -> str | None:
    if backend_name() != "kqueue" or hasattr(select, "kqueue"):
        return None
    # The link is named by the interface, the file by its version.
    return Path(os.path.realpath(os.environ.get("MOGPOLL_LIBKQUEUE", ""))).name


def read(path: Path) -> Report:
    """Read the output of `Report.as_json`.

    A file may add `not_shown`, experiments by reason: what they found there is not the kernel's.

    **Raises:** `Unreadable`.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    except ValueError:
        raise Unreadable(f"{path}: not JSON") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise Unreadable(f"{path}: not written by python -m mogpoll ({FORMAT} is expected)")
    try:
        reasons = {name: why for why, names in data.get("not_shown", {}).items() for name in names}
        results = [_shown(_result_of(one), reasons) for one in data["experiments"]]
        report = Report(Place(**data["place"]), results)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"{path}: incomplete or altered: {error}") from None
    names = [result.name for result in report.results]
    if len(set(names)) != len(names):
        raise Unreadable(f"{path}: contains an experiment twice")
    return report


def _shown(result: Result, reasons: dict[str, str]) -> Result:
    why = reasons.get(result.name)
    if why is None:
        return result
    return replace(result, outcome="unavailable", answer=NOT_SHOWN, detail=why)


def _result_of(data: dict[str, Any]) -> Result:
    fields = {key: value for key, value in data.items() if key != "holds"}
    result = Result(**{**fields, "relied_on": tuple(data["relied_on"])})
    if result.outcome not in get_args(Outcome):
        raise ValueError(f"{result.name}: unknown outcome {result.outcome!r}")
    if result.holds is not data["holds"]:
        raise ValueError(f"{result.name}: holds is {data['holds']}, but the answer differs")
    return result
