"""Add the counters of processes up. Pure: plain data in, plain data out.

Counts and what is in progress are added; of states the worst counts, of sizes the first known.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from operator import add
from typing import TypeVar

from mogstored.devices.health import DeviceState
from mogstored.observability.histogram import HistogramState
from mogstored.observability.snapshot import DeviceSnapshot, ProcessSnapshot

# The worst first.
STATES = tuple(state.value for state in DeviceState)

K = TypeVar("K", bound=Hashable)

DeviceKey = tuple[str, str]
"""Docroot and name."""


def nothing() -> ProcessSnapshot:
    """Return the counters of no process."""
    return ProcessSnapshot(pid=0, number=0, started_at=0.0, state="")


def remember(ended: ProcessSnapshot, last: ProcessSnapshot) -> ProcessSnapshot:
    """Return the counts of ended processes, the one with the snapshot `last` among them."""
    both = _add([ended, last._replace(connections={}, threads={})])
    before, after = by_key(ended), by_key(last)
    devices = [
        _add_devices([each for each in (after.get(key), before.get(key)) if each is not None])
        for key in before | after
    ]
    return both._replace(
        devices=tuple(
            each._replace(in_flight=0, waiting=0, oldest_wait_s=0.0, utilization=None)
            for each in devices
        )
    )


def total(ended: ProcessSnapshot, present: Sequence[ProcessSnapshot]) -> ProcessSnapshot:
    """Return the sums over the processes present, and the counts of those that have ended.

    Only present processes say which devices there are, and how they are; if there are none, it is
    as the last one has said.
    """
    if not present:
        return ended
    before = by_key(ended)
    each_has = [by_key(each) for each in present]
    keys: dict[DeviceKey, None] = {}
    for devices in each_has:
        keys |= dict.fromkeys(devices)
    return _add([ended, *present])._replace(
        devices=tuple(
            _count_in(
                _add_devices([devices[key] for devices in each_has if key in devices]),
                before.get(key),
            )
            for key in keys
        )
    )


def by_key(snapshot: ProcessSnapshot) -> dict[DeviceKey, DeviceSnapshot]:
    return {(each.docroot, each.device): each for each in snapshot.devices}


def worst(states: Iterable[str]) -> str:
    """Return the worst of the states; one that is not known here is worse than all."""
    return min(states, key=lambda state: STATES.index(state) if state in STATES else -1)


def _add(all_: Sequence[ProcessSnapshot]) -> ProcessSnapshot:
    """Add up everything but the devices."""
    requests: dict[str, dict[int, int]] = {}
    for each in all_:
        for method, statuses in each.requests.items():
            requests[method] = _add_counts([requests.get(method, {}), statuses])
    return nothing()._replace(
        requests=requests,
        durations=_add_histograms([each.durations for each in all_]),
        received_bytes=sum(each.received_bytes for each in all_),
        sent_bytes=sum(each.sent_bytes for each in all_),
        connections=_add_counts([each.connections for each in all_]),
        commands=_add_counts([each.commands for each in all_]),
        md5_mismatches=sum(each.md5_mismatches for each in all_),
        threads=_add_counts([each.threads for each in all_]),
        access_log_dropped=sum(each.access_log_dropped for each in all_),
        log_dropped=sum(each.log_dropped for each in all_),
    )


def _add_devices(all_: Sequence[DeviceSnapshot]) -> DeviceSnapshot:
    """Add up what several processes say of one device."""
    first = all_[0]
    if len(all_) == 1:
        return first
    sized = next((each for each in all_ if each.size_bytes is not None), first)
    scrubbing = next((each for each in all_ if each.scrub_times is not None), first)
    return _count_in(first, *all_[1:])._replace(
        source=next((each.source for each in all_ if each.source), ""),
        state=worst(each.state for each in all_),
        size_bytes=sized.size_bytes,
        available_bytes=sized.available_bytes,
        inodes=sized.inodes,
        inodes_free=sized.inodes_free,
        in_flight=sum(each.in_flight for each in all_),
        waiting=sum(each.waiting for each in all_),
        oldest_wait_s=max(each.oldest_wait_s for each in all_),
        utilization=next((u for each in all_ if (u := each.utilization) is not None), None),
        scrub_times=scrubbing.scrub_times,
        scrub_findings=scrubbing.scrub_findings,
    )


def _count_in(device: DeviceSnapshot, *others: DeviceSnapshot | None) -> DeviceSnapshot:
    """Add the counts of others to those of `device`, which says everything else."""
    all_ = [device, *(each for each in others if each is not None)]
    if len(all_) == 1:
        return device
    waits = [each.wait for each in all_ if each.wait is not None]
    return device._replace(
        wait=_sum(waits) if waits else None,
        operations=_add_histograms([each.operations for each in all_]),
        errors=_add_counts([each.errors for each in all_]),
        scrub=_add_counts([each.scrub for each in all_]),
    )


def _add_counts(all_: Iterable[Mapping[K, int]]) -> dict[K, int]:
    counts: dict[K, int] = {}
    for each in all_:
        for key, count in each.items():
            counts[key] = counts.get(key, 0) + count
    return counts


def _add_histograms(all_: Iterable[Mapping[str, HistogramState]]) -> dict[str, HistogramState]:
    states: dict[str, list[HistogramState]] = {}
    for each in all_:
        for name, state in each.items():
            states.setdefault(name, []).append(state)
    return {name: _sum(each) for name, each in states.items()}


def _sum(states: Sequence[HistogramState]) -> HistogramState:
    if len(states) == 1:
        return states[0]
    first, *others = states
    # Lazy until the end: thousands of these are added up for a scrape.
    counts: Iterable[int] = first.counts
    seconds = first.seconds
    for other in others:
        counts = map(add, counts, other.counts)
        seconds += other.seconds
    return HistogramState(tuple(counts), seconds)
