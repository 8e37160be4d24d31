"""Counters as serving processes send them, and a view of a node made of them."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mogstored.admin import sums
from mogstored.admin.control import SERVING, ListenerFacts, NodeFacts
from mogstored.admin.view import DeviceView, NodeView, ProcessView, Usage
from mogstored.observability.histogram import DEVICE_BOUNDS_S, HTTP_BOUNDS_S, HistogramState
from mogstored.observability.snapshot import DeviceSnapshot, ProcessSnapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

OPERATIONS = ("read", "write", "delete", "digest")
FACTS = NodeFacts(
    pid=1,
    started_at=1_764_000_000.0,
    worker_processes=0,
    listeners=(
        ListenerFacts("http", "127.0.0.1:7500", "/srv"),
        ListenerFacts("admin", "[::1]:7502", None),
    ),
    state=SERVING,
)


def histogram(
    seed: int, bounds: Sequence[float] = DEVICE_BOUNDS_S, top: int = 1000
) -> HistogramState:
    rng = random.Random(seed)
    counts = tuple(rng.randrange(top) for _ in range(len(bounds) + 1))
    return HistogramState(counts, sum(counts) * rng.random())


def device(number: int, **changes: Any) -> DeviceSnapshot:
    """Return a device with every kind of series."""
    name = f"dev{number}"
    made = DeviceSnapshot(
        docroot="/srv",
        device=name,
        path=f"/srv/{name}",
        source=f"/dev/sd{number}",
        state="ok",
        size_bytes=16 * 2**40,
        available_bytes=number * 2**30,
        inodes=976_000_000,
        inodes_free=940_000_000 + number,
        in_flight=number % 3,
        waiting=number % 2,
        oldest_wait_s=0.25,
        utilization=number % 100 / 100,
        wait=histogram(number),
        operations={each: histogram(number + at) for at, each in enumerate(OPERATIONS, 1)},
        errors={("read", "EIO"): number, ("write", "ENOSPC"): 1},
        scrub={"files": 10**6 + number, "bytes": 5, "mismatch": 1, "unreadable": 0}
        | {"bad_checksum": number},
        scrub_times=(1_764_000_000.0, 0.0),
        scrub_findings=((1_764_000_001.5, f"/srv/{name}/a", "mismatch", "md5 1", "md5 2"),),
    )
    return made._replace(**changes)


def snapshot(devices: int = 1, **changes: Any) -> ProcessSnapshot:
    made = ProcessSnapshot(
        pid=1,
        number=0,
        started_at=1_764_000_000.0,
        state=SERVING,
        requests={"GET": {200: 5, 404: 2}, "PUT": {201: 1_234_567}},
        durations={"GET": histogram(1, HTTP_BOUNDS_S), "PUT": histogram(2, HTTP_BOUNDS_S, 10**6)},
        received_bytes=5,
        sent_bytes=10**12,
        connections={("http", "idle"): 3, ("sidechannel", "active"): 1},
        commands={"size": 2, "other": 1},
        md5_mismatches=1,
        threads={("worker", "running"): 1, ("worker", "idle"): 9},
        access_log_dropped=0,
        log_dropped=4,
        devices=tuple(map(device, range(1, devices + 1))),
    )
    return made._replace(**changes)


def serving_process(**changes: Any) -> ProcessView:
    made = ProcessView(
        number=0,
        pid=1,
        state=SERVING,
        started_at=1_764_000_000.0,
        connections=4,
        answers=True,
        silent_s=0.0,
        usage=Usage(1.5, 2**20, 2**30, 9),
    )
    return replace(made, **changes)


def view(total: ProcessSnapshot, **changes: Any) -> NodeView:
    """Return a view of a node with one process, which has just answered."""
    process = serving_process()
    fields: dict[str, Any] = {
        "time": 1_764_000_060.0,
        "facts": FACTS,
        "total": total,
        "processes": [process],
        "devices": [DeviceView(each.device, each, None, [0.5, None]) for each in total.devices],
        "usage": process.usage,
        "max_open_files": 1024,
    }
    return NodeView(**(fields | changes))


NOTHING = sums.nothing()
