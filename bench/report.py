"""The report that every client prints as its last line, and its meaning."""

from __future__ import annotations

from dataclasses import dataclass

_ERRORS = ("connect", "read", "write", "timeout", "status")


class LoadError(Exception):
    """A run that must not count: an error answer, a socket error, or no report at all."""


@dataclass(frozen=True, slots=True)
class Report:
    requests: int
    duration_s: float
    p99_s: float


def parse_report(text: str) -> Report:
    """Find and read the line `bench name=number ...` in what a client printed.

    Raises: LoadError if there is none, if anything failed, or if nothing was completed.
    """
    lines = [line for line in text.splitlines() if line.startswith("bench ")]
    if len(lines) != 1:
        raise LoadError(f"no report: {text}")
    values = {key: int(value) for key, value in (word.split("=") for word in lines[0].split()[1:])}
    failed = [f"{values[name]} {name}" for name in _ERRORS if values[name]]
    if failed:
        raise LoadError(f"errors during the run ({', '.join(failed)}): {text}")
    if not values["requests"]:
        raise LoadError(f"no request was completed: {text}")
    return Report(values["requests"], values["duration_us"] / 1e6, values["p99_us"] / 1e6)


def format_report(requests: int, duration_s: float, p99_s: float, read: int, status: int) -> str:
    """The same line for a client written in Python; load.lua has its twin."""
    return (
        f"bench requests={requests} duration_us={duration_s * 1e6:.0f} p99_us={p99_s * 1e6:.0f}"
        f" connect=0 read={read} write=0 timeout=0 status={status}"
    )
