"""The content of /status.json, which is also what the page shows. docs/status.md describes it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import mogstored
from mogpoll.backends import backend_name
from mogstored.admin.view import DeviceView, NodeView, ProcessView
from mogstored.observability.histogram import HTTP_BOUNDS_S, HistogramState
from mogstored.observability.snapshot import DeviceSnapshot

SCHEMA = 1

# States that are always there, at zero if need be.
_CONNECTION_STATES = ("idle", "active", "waiting")
_PROTOCOLS = ("http", "sidechannel")
_THREAD_STATES = ("running", "idle")
_SCRUB = {
    "files": "files",
    "read_bytes": "bytes",
    "mismatches": "mismatch",
    "unreadable": "unreadable",
    "bad_checksums": "bad_checksum",
}
_FINDING = ("time", "path", "kind", "expected", "found")


def describe(view: NodeView) -> dict[str, Any]:
    """Return the whole status, as JSON has it."""
    total = view.total
    return {
        "schema": SCHEMA,
        "time": view.time,
        "node": _node(view),
        "workers": [_process(each) for each in view.processes],
        "listeners": [each._asdict() for each in view.facts.listeners],
        "connections": {
            protocol: {
                state: total.connections.get((protocol, state), 0) for state in _CONNECTION_STATES
            }
            for protocol in _PROTOCOLS
        },
        "http": {
            "requests": {
                method: {str(status): count for status, count in statuses.items()}
                for method, statuses in total.requests.items()
            },
            "received_bytes": total.received_bytes,
            "sent_bytes": total.sent_bytes,
            "durations": {
                method: _with_buckets(state) for method, state in total.durations.items()
            },
            "content_md5_mismatches": total.md5_mismatches,
        },
        "sidechannel": {"commands": dict(total.commands)},
        "threads": _threads(total.threads),
        "devices": [_device(each) for each in view.devices],
    }


def _node(view: NodeView) -> dict[str, Any]:
    facts, usage, reasons = view.facts, view.usage, view.not_ready_reasons
    return {
        "hostname": socket.gethostname(),
        "version": mogstored.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "backend": backend_name(),
        "pid": facts.pid,
        "started_at": facts.started_at,
        "uptime_seconds": max(0.0, view.time - facts.started_at),
        "state": facts.state,
        "ready": not reasons,
        "not_ready_reasons": reasons,
        "worker_processes": facts.worker_processes,
        "worker_restarts": facts.worker_restarts,
        "upgrades": facts.upgrades,
        "cpu_seconds": usage.cpu_s,
        "resident_bytes": usage.resident_bytes,
        "open_files": usage.open_files,
        "max_open_files": view.max_open_files,
    }


def _process(process: ProcessView) -> dict[str, Any]:
    usage = process.usage
    return {
        "number": process.number,
        "pid": process.pid,
        "state": process.state,
        "started_at": process.started_at,
        "connections": process.connections,
        "cpu_seconds": usage.cpu_s,
        "resident_bytes": usage.resident_bytes,
        "open_files": usage.open_files,
        "answers": process.answers,
    }


def _threads(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    pools = dict.fromkeys(pool for pool, _ in counts)
    return {
        pool: {state: counts.get((pool, state), 0) for state in _THREAD_STATES} for pool in pools
    }


def _device(device: DeviceView) -> dict[str, Any]:
    counters = device.counters
    errors: dict[str, dict[str, int]] = {}
    for (operation, errno), count in counters.errors.items():
        errors.setdefault(operation, {})[errno] = count
    return {
        "device": counters.device,
        "docroot": counters.docroot,
        "path": counters.path,
        "source": counters.source,
        "state": counters.state,
        "state_since": device.state_since,
        "size_bytes": counters.size_bytes,
        "available_bytes": counters.available_bytes,
        "inodes": counters.inodes,
        "inodes_free": counters.inodes_free,
        "utilization_ratio": counters.utilization,
        "utilization_history": list(device.history),
        "in_flight": counters.in_flight,
        "waiting": counters.waiting,
        "oldest_waiting_seconds": counters.oldest_wait_s,
        "errors_total": sum(counters.errors.values()),
        "errors": errors,
        "operations": {
            operation: _summary(state) for operation, state in counters.operations.items()
        },
        "wait": {"count": 0, "sum_seconds": 0.0}
        if counters.wait is None
        else _summary(counters.wait),
        "scrub": _scrub(counters),
    }


def _scrub(device: DeviceSnapshot) -> dict[str, Any] | None:
    if device.scrub_times is None:
        return None
    began_at, ended_at = device.scrub_times
    return {
        "began_at": began_at or None,
        "ended_at": ended_at or None,
        **{name: device.scrub[field] for name, field in _SCRUB.items()},
        "findings": [dict(zip(_FINDING, each, strict=True)) for each in device.scrub_findings],
    }


def _summary(state: HistogramState) -> dict[str, Any]:
    return {"count": sum(state.counts), "sum_seconds": state.seconds}


def _with_buckets(state: HistogramState) -> dict[str, Any]:
    buckets = zip((*HTTP_BOUNDS_S, None), accumulate(state.counts), strict=True)
    return {**_summary(state), "buckets": [list(each) for each in buckets]}
