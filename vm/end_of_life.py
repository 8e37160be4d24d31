"""Releases that their publisher no longer supports, by the dates in machines.yml.

A release past its end has no packages or no fixes, and its image moves to an archive. It is a
warning and no error: an old release can still be worth a run.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from vm.machines import Machine

_NOTICE = datetime.timedelta(days=30)


def warnings(machines: Iterable[Machine], today: datetime.date) -> list[str]:
    """Return a line for each release that has ended, or ends within 30 days."""
    return [line for machine in machines if (line := warning(machine, today)) is not None]


def warning(machine: Machine, today: datetime.date) -> str | None:
    ends = machine.end_of_life
    if today <= ends - _NOTICE:
        return None
    verb = "ended" if ends < today else "ends"
    return (
        f"{machine.name}: support of {machine.system} {machine.release} {verb} on {ends}; "
        "vm/machines.yml should name a newer release"
    )
