"""All counters of a serving process at one time, as plain data, and as bytes for another process.

The other one was forked from the same process, and so runs the same code.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mogstored.observability.histogram import HistogramState


class DeviceSnapshot(NamedTuple):
    """One device. Sizes are in bytes, and None where they are unknown."""

    docroot: str
    device: str
    """`dev1`."""
    path: str
    source: str
    """What is mounted, as one word; empty where it is unknown."""
    state: str
    """A value of `DeviceState`: ok, read-only, no-writes, hung, failed, unmounted, down."""
    size_bytes: int | None = None
    available_bytes: int | None = None
    inodes: int | None = None
    inodes_free: int | None = None
    in_flight: int = 0
    """Slots that are held."""
    waiting: int = 0
    """Requests that wait for a slot."""
    oldest_wait_s: float = 0.0
    utilization: float | None = None
    """From 0 to 1; None where it is unknown, as in processes that do not measure."""
    wait: HistogramState | None = None
    """Waiting for a slot, once for each turn; None before the first one."""
    operations: Mapping[str, HistogramState] = {}
    """Time that a slot was held, once for each turn, by operation: read, write, delete, digest."""
    errors: Mapping[tuple[str, str], int] = {}
    """By operation and the name of the errno."""
    scrub: Mapping[str, int] = {}
    """`files`, `bytes`, and findings by kind; empty where files are not read again."""
    scrub_times: tuple[float, float] | None = None
    """When a scrub of the device began and ended last, in seconds since the epoch; 0: never."""
    scrub_findings: tuple[tuple[float, str, str, str, str], ...] = ()
    """Time, path, kind, what was expected and found; the last ones."""


class ProcessSnapshot(NamedTuple):
    """One process; counters count from its start."""

    pid: int
    number: int
    """Of the worker process; 0 in a single one."""
    started_at: float
    """Seconds since the epoch."""
    state: str
    """starting, serving, draining."""
    requests: Mapping[str, Mapping[int, int]] = {}
    """By method and status."""
    durations: Mapping[str, HistogramState] = {}
    """By method."""
    received_bytes: int = 0
    sent_bytes: int = 0
    connections: Mapping[tuple[str, str], int] = {}
    """By protocol (http, sidechannel) and state (idle, active, waiting for a device)."""
    commands: Mapping[str, int] = {}
    """Of the sidechannel, by name."""
    md5_mismatches: int = 0
    threads: Mapping[tuple[str, str], int] = {}
    """By pool and state (running, idle)."""
    access_log_dropped: int = 0
    log_dropped: int = 0
    devices: tuple[DeviceSnapshot, ...] = ()

    def encode(self) -> bytes:
        """Return the snapshot as bytes, for `decode` in another process of this node."""
        return encode(self, self.devices)

    @classmethod
    def decode(cls, data: bytes) -> ProcessSnapshot:
        """Return the snapshot that was encoded as `data`."""
        *fields, devices = marshal.loads(data)
        read = cls(*fields)
        return read._replace(
            durations=_histograms(read.durations),
            devices=tuple(_device(marshal.loads(each)) for each in devices),
        )


def encode(process: ProcessSnapshot, devices: Iterable[DeviceSnapshot]) -> bytes:
    """Return the snapshot of a process with these devices as bytes.

    Each device is encoded as it comes: hundreds of them as objects would leave the heap in pieces,
    and cost a process 3 MiB. `marshal` takes plain tuples and dicts only.
    """
    plain = process._replace(durations=_tuples(process.durations), devices=())  # type: ignore[arg-type]
    fields: tuple[Any, ...] = plain[:-1]
    return marshal.dumps((*fields, tuple(marshal.dumps(_plain(each)) for each in devices)))


def _plain(device: DeviceSnapshot) -> tuple[Any, ...]:
    wait = None if device.wait is None else tuple(device.wait)
    return tuple(device._replace(wait=wait, operations=_tuples(device.operations)))  # type: ignore[arg-type]


def _tuples(states: Mapping[str, HistogramState]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(state) for name, state in states.items()}


def _device(fields: tuple[Any, ...]) -> DeviceSnapshot:
    read = DeviceSnapshot(*fields)
    return read._replace(
        wait=None if read.wait is None else HistogramState(*read.wait),
        operations=_histograms(read.operations),
    )


def _histograms(states: Mapping[str, Any]) -> dict[str, HistogramState]:
    return {name: HistogramState(*state) for name, state in states.items()}
