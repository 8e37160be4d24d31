"""CPU time and memory of a process and its descendants, from /proc.

A reaped child's time moves into its parent's `cutime` and `cstime`. Summing all four fields
over the whole tree therefore never loses a child that ended during a run.
/proc/PID/stat counts all threads of a process, in clock ticks: 10 ms on common kernels, half a
percent of a run of two seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


class NotLinux(Exception):
    """There is no /proc with what the measuring needs."""


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that are used here."""

    pid: int
    name: str
    parent: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Memory:
    rss_bytes: int
    pss_bytes: int

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.rss_bytes + other.rss_bytes, self.pss_bytes + other.pss_bytes)


def require_proc() -> None:
    for needed in ("self/stat", "self/smaps_rollup"):
        if not (_PROC / needed).exists():
            raise NotLinux(f"the comparison reads /proc/{needed}, which this system does not have")


def tree(root: int) -> list[Stat]:
    """A process and all its descendants."""
    children: dict[int, list[Stat]] = {}
    found: list[Stat] = []
    for stat in _all_processes():
        children.setdefault(stat.parent, []).append(stat)
        if stat.pid == root:
            found.append(stat)
    for stat in found:
        found.extend(children.get(stat.pid, ()))
    return found


def cpu_s(root: int) -> float:
    """User and system time used so far by a process, its descendants and those reaped by them."""
    return sum(stat.ticks for stat in tree(root)) / os.sysconf("SC_CLK_TCK")


def memory(pids: Iterable[int]) -> Memory:
    """The sum over processes; RSS counts shared pages once for each of them, PSS once in all."""
    total = Memory(0, 0)
    for pid in pids:
        total += parse_smaps_rollup((_PROC / str(pid) / "smaps_rollup").read_text())
    return total


def parse_stat(text: str) -> Stat:
    """Read one stat line; the name stands in parentheses and may itself hold blanks and both."""
    pid, _, rest = text.partition(" (")
    name, _, tail = rest.rpartition(") ")
    fields = tail.split()
    return Stat(int(pid), name, int(fields[1]), sum(int(ticks) for ticks in fields[11:15]))


def parse_smaps_rollup(text: str) -> Memory:
    sizes = {
        key: int(value.split()[0]) * 1024
        for key, _, value in (line.partition(":") for line in text.splitlines()[1:])
    }
    return Memory(sizes["Rss"], sizes["Pss"])


def _all_processes() -> Iterable[Stat]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text(errors="surrogateescape")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended since the directory was read
            yield parse_stat(text)
