"""The results of one run, where they were obtained, and both as JSON."""

from __future__ import annotations

import json
import os
import platform
import select
import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from mogpoll.poller import backend_name
from mogpoll.probe.isolation import Outcome, Result

# Changed whenever an older reader would misunderstand what is written.
FORMAT = "mogpoll-probe/1"


class Unreadable(Exception):
    """A file does not hold what a run of the probe wrote; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """What was asked: the system, the interpreter, and what plays the queue."""

    system: str
    release: str
    machine: str
    python: str
    interpreter_lock: bool
    free_threaded_build: bool
    backend: str
    library: str | None

    def __str__(self) -> str:
        lock = "" if self.interpreter_lock else " without the lock"
        system = f"{self.system} {self.release} {self.machine}"
        return f"{system}, {self.python}{lock}, {self.queue}"

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
    """Describe the system at hand."""
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
    # The link is called by the interface, the file by its version.
    return Path(os.path.realpath(os.environ.get("MOGPOLL_LIBKQUEUE", ""))).name


def read(path: Path) -> Report:
    """Read what `Report.as_json` gave.

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
        report = Report(Place(**data["place"]), [_result_of(one) for one in data["experiments"]])
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"{path}: incomplete or altered: {error}") from None
    names = [result.name for result in report.results]
    if len(set(names)) != len(names):
        raise Unreadable(f"{path}: an experiment is in it twice")
    return report


def _result_of(data: dict[str, Any]) -> Result:
    fields = {key: value for key, value in data.items() if key != "holds"}
    result = Result(**{**fields, "relied_on": tuple(data["relied_on"])})
    if result.outcome not in get_args(Outcome):
        raise ValueError(f"{result.name!r} cannot have the outcome {result.outcome!r}")
    if result.holds is not data["holds"]:
        raise ValueError(f"{result.name} does not hold what it says")
    return result
