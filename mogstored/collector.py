"""A snapshot of a server: what its parts have counted, and what they do now.

Everything is read from memory. The parts go on meanwhile, so numbers of one snapshot may differ
by what happens while it is made. Between groups of devices the thread rests: hundreds of devices
in a row would be felt by requests, which share the interpreter with it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from mogpoll import WorkerPool
from mogstored.connections.buffers import Buffers
from mogstored.connections.clients import Clients
from mogstored.connections.connection import Connection
from mogstored.devices.device import Device
from mogstored.files.checksums.body_digest import HashingThreads
from mogstored.observability.counters import Counters
from mogstored.observability.snapshot import DeviceSnapshot, ProcessSnapshot, encode
from mogstored.scrub.background import Report
from mogstored.scrub.verdict import FINDINGS
from mogstored.service import Service
from mogstored.utilization.watchers import Watchers

_KIB = 1024
_GROUP = 16
_REST_S = 0.0005


class Parts(NamedTuple):
    """What a server is made of, as far as it is seen from outside."""

    services: Sequence[Service]
    pool: WorkerPool[Connection, Buffers]
    clients: Clients
    counters: Counters
    hashing: HashingThreads
    watchers: Watchers
    count_dropped_exchanges: Callable[[], int]
    count_acceptors: Callable[[], int]
    count_lost_messages: Callable[[], int]
    scrub_of: Callable[[Device], Report | None]


class Collector:
    """**Threads:** the observer's."""

    def __init__(self, parts: Parts, number: int) -> None:
        self._parts = parts
        self._number = number
        self._started_at = time.time()

    def collect(self, state: str) -> bytes:
        """Return a snapshot, encoded; `state` is starting, serving or draining."""
        return encode(self._process(state), self._devices())

    def _process(self, state: str) -> ProcessSnapshot:
        """Return everything but the devices."""
        parts = self._parts
        # First: a request that ends meanwhile is missing rather than counted as active, too.
        requests, durations = parts.counters.requests()
        received, sent = parts.counters.transferred()
        return ProcessSnapshot(
            pid=os.getpid(),
            number=self._number,
            started_at=self._started_at,
            state=state,
            requests=requests,
            durations=durations,
            received_bytes=received,
            sent_bytes=sent,
            connections=self._connections(),
            commands=parts.counters.commands(),
            md5_mismatches=parts.counters.md5_mismatches,
            threads=self._threads(),
            access_log_dropped=parts.count_dropped_exchanges(),
            log_dropped=parts.count_lost_messages(),
        )

    def _connections(self) -> dict[tuple[str, str], int]:
        """Count connections; those that are neither idle nor parked are active."""
        opened = self._parts.clients.by_protocol()
        idle = Counter(
            each.protocol for each in self._parts.pool.waiting_tasks() if each.is_idle()
        )
        waiting = Counter(
            task.protocol
            for service in self._parts.services
            for device in service.devices.everything()
            if device.load().waiting
            for task in device.parked()
            if isinstance(task, Connection)
        )
        counts = {}
        for protocol in ("http", "sidechannel"):
            others = idle[protocol] + waiting[protocol]
            counts[protocol, "idle"] = idle[protocol]
            counts[protocol, "waiting"] = waiting[protocol]
            counts[protocol, "active"] = max(0, opened.get(protocol, 0) - others)
        return counts

    def _threads(self) -> dict[tuple[str, str], int]:
        workers = self._parts.pool.statistics()
        hashing = self._parts.hashing.load()
        return {
            ("worker", "running"): workers.threads_busy,
            ("worker", "idle"): workers.threads_waiting + workers.threads_parked,
            ("hashing", "running"): hashing.busy,
            ("hashing", "idle"): hashing.idle,
            # They wait in accept.
            ("acceptor", "idle"): self._parts.count_acceptors(),
        }

    def _devices(self) -> Iterator[DeviceSnapshot]:
        count = 0
        for service in self._parts.services:
            docroot = service.docroot.path
            for device in service.devices.known():
                if device.health.is_removed:
                    continue
                count += 1
                if count % _GROUP == 0:
                    time.sleep(_REST_S)
                yield self._device(docroot, device)

    def _device(self, docroot: str, device: Device) -> DeviceSnapshot:
        counts, record = device.counts(), device.usage.record
        sizes: dict[str, Any] = {}
        if record is not None:
            fill = record.fill
            sizes = {
                "source": record.device,
                "size_bytes": fill.total_kib * _KIB,
                "available_bytes": fill.available_kib * _KIB,
                "inodes": fill.inodes,
                "inodes_free": fill.inodes_free,
            }
        return DeviceSnapshot(
            docroot=docroot,
            device=device.label,
            path=device.path,
            state=device.health.state().value,
            in_flight=counts.load.held,
            waiting=counts.load.waiting,
            oldest_wait_s=counts.oldest_wait_s,
            utilization=self._parts.watchers.utilization(device.usage.origin.disks),
            wait=counts.wait,
            operations=counts.operations,
            errors=device.errors.counts(),
            **self._scrub(device),
            **{"source": "", **sizes},
        )

    def _scrub(self, device: Device) -> dict[str, Any]:
        report = self._parts.scrub_of(device)
        if report is None:
            return {}
        tally = report.tally
        kinds = {kind.name.lower(): tally.verdicts[kind.value] for kind in FINDINGS}
        return {
            "scrub": {"files": tally.files, "bytes": tally.read_bytes, **kinds},
            "scrub_times": (report.began_at, report.ended_at),
            "scrub_findings": tuple(
                (at, each.path, each.kind, each.expected, each.found)
                for at, each in report.findings
            ),
        }
