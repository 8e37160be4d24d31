"""What a device may be used for, why, and what comes next. Pure: the time is an argument.

A device that errors have taken out of use comes back by a check. Checks that fail are spaced
out, and so are those of a device that falls ill again soon after it came back. One that the
operator has taken out of use is checked only when the operator asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum, unique
from typing import Any

# Seconds between the decision and the first check, and between two checks at most. A device that
# has been well for the second time counts as healed.
FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 3600.0


@unique
class Standing(StrEnum):
    """The words of the state file."""

    OK = "ok"
    NO_WRITES = "no-writes"
    """It gets no new files."""
    DOWN = "down"
    """Its disk is not touched."""


_SEVERITY = {Standing.OK: 0, Standing.NO_WRITES: 1, Standing.DOWN: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The standing of one device; times are in seconds since the epoch."""

    standing: Standing = Standing.OK
    cause: str = ""
    since: float = 0.0
    is_by_operator: bool = False
    wait_s: float = 0.0
    """Between the last check, or the decision, and the next one."""
    check_at: float | None = None
    """When the next check is due; None if none is."""
    last_check: str = ""
    """Why the last check failed."""

    def is_due(self, now: float) -> bool:
        """Say whether a check should begin; a clock that was set back delays none for long."""
        at = self.check_at
        return at is not None and not now < at <= now + LONGEST_WAIT_S

    def encode(self) -> dict[str, Any]:
        return {
            "state": self.standing.value,
            "cause": self.cause,
            "since": self.since,
            "operator": self.is_by_operator,
            "wait": self.wait_s,
            "check_at": self.check_at,
            "last_check": self.last_check,
        }


WELL = Entry()


def decode(state: object) -> Entry:
    """Return what `encode` gave; whatever is not of that form means a device that is well."""
    if not isinstance(state, Mapping):
        return WELL
    try:
        check_at = state.get("check_at")
        return Entry(
            standing=Standing(state["state"]),
            cause=str(state.get("cause", "")),
            since=float(state.get("since", 0.0)),
            is_by_operator=state.get("operator") is True,
            wait_s=min(float(state.get("wait", 0.0)), LONGEST_WAIT_S),
            check_at=None if check_at is None else float(check_at),
            last_check=str(state.get("last_check", "")),
        )
    except (KeyError, TypeError, ValueError):
        return WELL


def fall_ill(before: Entry, standing: Standing, cause: str, now: float) -> Entry:
    """Return the entry of a device whose errors are too many; it never becomes better by that."""
    if _SEVERITY[before.standing] >= _SEVERITY[standing]:
        return before
    wait_s = FIRST_WAIT_S
    if before.standing is not Standing.OK:
        wait_s = before.wait_s or FIRST_WAIT_S
    elif before.wait_s and now - before.since < LONGEST_WAIT_S:
        wait_s = _longer(before.wait_s)
    return Entry(standing=standing, cause=cause, since=now, wait_s=wait_s, check_at=now + wait_s)


def order(standing: Standing, now: float) -> Entry:
    """Return the entry of a device that the operator gives this standing."""
    if standing is Standing.OK:
        return replace(WELL, since=now, cause="by the operator")
    return Entry(standing=standing, cause="by the operator", since=now, is_by_operator=True)


def ask_for_check(before: Entry) -> Entry:
    """Return the entry of a device that is to be checked at once."""
    return before if before.standing is Standing.OK else replace(before, check_at=0.0)


def after_check(before: Entry, failure: str, now: float) -> Entry:
    """Return the entry after a check; `failure` is why it failed, or empty."""
    if not failure:
        return replace(WELL, since=now, cause="a check succeeded", wait_s=before.wait_s)
    if before.is_by_operator:
        return replace(before, check_at=None, last_check=failure)
    wait_s = _longer(before.wait_s)
    return replace(before, wait_s=wait_s, check_at=now + wait_s, last_check=failure)


def _longer(wait_s: float) -> float:
    return min(max(2 * wait_s, FIRST_WAIT_S), LONGEST_WAIT_S)
