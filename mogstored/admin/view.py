"""What the admin process knows of the node at one time: all that its answers are made of."""

from __future__ import annotations

import contextlib
import resource
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from time import monotonic, time

import psutil

from mogstored.admin import sums
from mogstored.admin.control import DRAINING, SERVING, STARTING, NodeFacts
from mogstored.admin.sources import Sources
from mogstored.admin.sums import DeviceKey
from mogstored.log.printable import printable
from mogstored.observability.snapshot import DeviceSnapshot, ProcessSnapshot
from mogstored.rlimits import max_open_files

HISTORY_S = 60
# Serving processes that all have been silent for so long do not answer clients either.
SILENCE_S = 10.0
_USABLE = ("ok", "read-only", "no-writes")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process takes from the machine, or several."""

    cpu_s: float = 0.0
    resident_bytes: int = 0
    virtual_bytes: int = 0
    open_files: int = 0

    def plus(self, other: Usage) -> Usage:
        return Usage(
            self.cpu_s + other.cpu_s,
            self.resident_bytes + other.resident_bytes,
            self.virtual_bytes + other.virtual_bytes,
            self.open_files + other.open_files,
        )


@dataclass(frozen=True, slots=True)
class ProcessView:
    """One serving process."""

    number: int
    pid: int
    state: str
    started_at: float | None
    """None before its first answer."""
    connections: int
    answers: bool
    """Whether it has answered just now."""
    silent_s: float
    """Since its last answer."""
    usage: Usage


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device: sums over the processes, and what the admin process has kept of it."""

    label: str
    """Its name, or its path if another docroot has a device of that name."""
    counters: DeviceSnapshot
    state_since: float | None
    history: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class NodeView:
    """Everything."""

    time: float
    facts: NodeFacts
    total: ProcessSnapshot
    """Sums; its devices are in `devices`."""
    processes: Sequence[ProcessView]
    devices: Sequence[DeviceView]
    usage: Usage
    """Of all processes of the node, this one among them."""
    max_open_files: int
    """The sum of the limits of all processes."""

    @property
    def not_ready_reasons(self) -> list[str]:
        """Say why clients should not come at present; empty if they may."""
        if self.facts.state == DRAINING:
            return ["draining"]
        if self.facts.state != SERVING:
            return ["starting"]
        reasons = [] if any(each.answers for each in self.processes) else ["no process answers"]
        states = [each.counters.state for each in self.devices]
        if not any(state in _USABLE for state in states):
            counts = {state: states.count(state) for state in dict.fromkeys(states)}
            causes = ", ".join(f"{count} {state}" for state, count in counts.items())
            reasons.append(f"no usable device: {causes or 'none found'}")
        return reasons

    @property
    def sick_reason(self) -> str | None:
        """Say why the node should be restarted; None if it is alive."""
        if self.facts.state == DRAINING or any(
            each.silent_s < SILENCE_S for each in self.processes
        ):
            return None
        if not self.processes:
            # The leading process starts and replaces them.
            return None
        return f"no serving process has answered for {SILENCE_S:.0f} s"


class History:
    """What is kept between two views: recent utilization, and since when a state lasts."""

    def __init__(self) -> None:
        # Half a megabyte for 500 devices; as floats it would be two. An unknown one is NaN.
        self._ratios: dict[DeviceKey, array[float]] = {}
        self._states: dict[DeviceKey, tuple[str, float | None]] = {}
        self._second = 0

    def note(self, devices: Sequence[DeviceSnapshot], now: float) -> None:
        """Note utilization, once a second at most, and changes of states."""
        elapsed = int(now) - self._second
        self._second = int(now)
        keys = {(each.docroot, each.device) for each in devices}
        for kept in (self._ratios, self._states):
            for key in kept.keys() - keys:
                del kept[key]
        for each in devices:
            key = each.docroot, each.device
            before = self._states.get(key)
            if before is None or before[0] != each.state:
                self._states[key] = each.state, None if before is None else now
            ratios = self._ratios.setdefault(key, array("f"))
            if elapsed > 1 and ratios:
                ratios.extend([nan] * min(elapsed - 1, HISTORY_S))
            if ratios and elapsed <= 0:
                # The same second, or a clock that was set back.
                del ratios[-1]
            ratios.append(nan if each.utilization is None else each.utilization)
            del ratios[:-HISTORY_S]

    def ratios(self, device: DeviceSnapshot) -> list[float | None]:
        """Return the last minute, oldest first; None for seconds without a value."""
        ratios = self._ratios.get((device.docroot, device.device), ())
        return [None if isnan(each) else round(each, 4) for each in ratios]

    def since(self, device: DeviceSnapshot) -> float | None:
        """Return when the state began; None if before it was first seen."""
        return self._states.get((device.docroot, device.device), ("", None))[1]


def look(facts: NodeFacts, sources: Sources, history: History) -> NodeView:
    """Return the view of now."""
    now = time()
    facts = _facts_with_text(facts)
    snapshots = [channel.snapshot() for channel in sources.channels]
    present = [each for each in snapshots if each is not None]
    total = _with_text(sums.total(sources.ended(), present))
    history.note(total.devices, now)
    processes = []
    usage = _measure_self()
    sources.own_cpu_s = max(sources.own_cpu_s, usage.cpu_s)
    sources.keep()
    usage = usage.plus(Usage(cpu_s=sources.ended_cpu_s))
    for each, snapshot in zip(sources.channels, snapshots, strict=True):
        own = measure(each.pid)
        # Nothing is measured of one that has just ended.
        each.cpu_s = max(each.cpu_s, own.cpu_s)
        own = replace(own, cpu_s=each.cpu_s)
        usage = usage.plus(own)
        processes.append(
            ProcessView(
                number=each.number,
                pid=each.pid,
                state=STARTING if snapshot is None else snapshot.state,
                started_at=None if snapshot is None else snapshot.started_at,
                connections=0 if snapshot is None else sum(snapshot.connections.values()),
                answers=snapshot is not None and not each.is_awaited,
                silent_s=monotonic() - each.answered_at,
                usage=own,
            )
        )
    pids = {each.pid for each in processes}
    if facts.pid not in pids:
        usage = usage.plus(measure(facts.pid))
    names = [each.device for each in total.devices]
    doubled = {name for name, count in Counter(names).items() if count > 1}
    return NodeView(
        time=now,
        facts=facts,
        total=total,
        processes=processes,
        devices=[
            DeviceView(
                label=each.path if each.device in doubled else each.device,
                counters=each,
                state_since=history.since(each),
                history=history.ratios(each),
            )
            for each in total.devices
        ],
        usage=usage,
        max_open_files=max_open_files() * (1 + len(pids | {facts.pid})),
    )


def _with_text(total: ProcessSnapshot) -> ProcessSnapshot:
    """Show names as the log does: JSON and metrics are text, and names are bytes."""
    if all(each.path.isprintable() and each.source.isprintable() for each in total.devices):
        return total
    return total._replace(
        devices=tuple(
            each._replace(
                docroot=printable(each.docroot),
                path=printable(each.path),
                source=printable(each.source),
            )
            for each in total.devices
        )
    )


def _facts_with_text(facts: NodeFacts) -> NodeFacts:
    """As `_with_text`."""
    return facts._replace(
        listeners=tuple(
            each if each.docroot is None else each._replace(docroot=printable(each.docroot))
            for each in facts.listeners
        )
    )


def measure(pid: int) -> Usage:
    """Return what a process takes; nothing of one that has ended."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            cpu, memory = process.cpu_times(), process.memory_info()
            files = process.num_fds()
    except (psutil.Error, OSError):
        return Usage()
    return Usage(cpu.user + cpu.system, memory.rss, memory.vms, files)


def _measure_self() -> Usage:
    own = Usage()
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process()
        memory = process.memory_info()
        times = resource.getrusage(resource.RUSAGE_SELF)
        own = Usage(times.ru_utime + times.ru_stime, memory.rss, memory.vms, process.num_fds())
    return own
