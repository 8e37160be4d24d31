"""What the page shows of a status, as texts by field and row; `rows.js` has the same functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mogstored.admin.page.text import UNKNOWN, count, duration, percent, size, steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Status = Mapping[str, Any]
    Row = list[str]

# Worst first. The last three are no states of a device: they are states of one that is ok.
CONDITIONS = (
    *("down", "hung", "failed", "unmounted", "no-writes", "read-only"),
    *("full", "waiting", "ok"),
)
# The share of a device's space, or of its inodes, below which it is called full.
FULL_BELOW = 0.01
SPARK_WIDTH, SPARK_HEIGHT = 60, 16
# Of a scrub, the latest ones of all devices.
SHOWN_FINDINGS = 20


def condition(device: Status) -> str:
    """Return the device's state; one that is ok can be full, or have requests that wait."""
    if device["state"] != "ok":
        return str(device["state"])
    shares = (_share(device, "available_bytes", "size_bytes"), _inodes_free(device))
    if any(share is not None and share < FULL_BELOW for share in shares):
        return "full"
    return "waiting" if device["waiting"] else "ok"


def severity(device: Status) -> int:
    """Return 0 for the worst condition; one that this page does not know is worse."""
    found = condition(device)
    return CONDITIONS.index(found) if found in CONDITIONS else -1


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts dev2 before dev10."""
    return [(int(digits or 0), text) for text, digits in re.findall(r"(\D*)(\d*)", name)]


def worst_first(devices: Iterable[Status]) -> list[Status]:
    """Sort by severity, and by name within one."""
    return sorted(devices, key=lambda it: (severity(it), natural(it["path"])))


def device_fields(device: Status, now: float) -> dict[str, str]:
    """Return the texts of a device's row by field."""
    free = _share(device, "available_bytes", "size_bytes")
    inodes = _inodes_free(device)
    errnos: dict[str, int] = {}
    for by_errno in device["errors"].values():
        for errno, number in by_errno.items():
            errnos[errno] = errnos.get(errno, 0) + number
    since = device["state_since"]
    shows_since = since is not None and device["state"] != "ok"
    return {
        "device": device["device"],
        "mount": f"{device['source'] or 'unknown source'} on {device['path']}",
        "condition": condition(device),
        "since": f"for {duration(max(now - since, 0))}" if shows_since else "",
        "free": size(device["available_bytes"]),
        "of": f"{percent(free)} of {size(device['size_bytes'])}" if free is not None else "",
        "inodes": f"{percent(inodes)} of inodes" if inodes is not None and inodes < 0.05 else "",
        "bar": "0" if free is None else f"{int((1 - free) * 100 + 0.5)}",
        "utilization": percent(device["utilization_ratio"]),
        "spark": steps(device["utilization_history"], SPARK_WIDTH, SPARK_HEIGHT),
        "in_flight": count(device["in_flight"]),
        "waiting": count(device["waiting"]),
        "oldest": duration(device["oldest_waiting_seconds"]) if device["waiting"] else UNKNOWN,
        "errors": count(device["errors_total"]),
        "errnos": " ".join(sorted(errnos, key=lambda errno: (-errnos[errno], errno))[:3]),
        "findings": _number_of_findings(device),
    }


def overview(status: Status) -> dict[str, str]:
    """Return the texts above the devices by field."""
    node, http = status["node"], status["http"]
    connections = status["connections"]["http"]
    conditions = [condition(device) for device in status["devices"]]
    present = [each for each in CONDITIONS if each in conditions]
    states = [f"{count(conditions.count(each))}\u00a0{each}" for each in present]
    workers = node["worker_processes"]
    answered = sum(n for codes in http["requests"].values() for n in codes.values())
    return {
        "hostname": node["hostname"],
        "state": node["state"] if node["ready"] else f"{node['state']}, not ready",
        "facts": f"mogstored {node['version']} · up {duration(node['uptime_seconds'])}"
        f" · process {node['pid']} · Python {node['python']}, {node['backend']}",
        "reasons": "; ".join(node["not_ready_reasons"]),
        "requests": count(answered),
        "requests_note": "since the start",
        "sent": size(http["sent_bytes"]),
        "sent_note": "since the start",
        "received": size(http["received_bytes"]),
        "received_note": "since the start",
        "connections": count(sum(connections.values())),
        "connections_note": f"{count(connections['active'])} active,"
        f" {count(connections['waiting'])} waiting",
        "devices": count(len(conditions)),
        "devices_note": ", ".join(states) or "the docroot is empty",
        "cpu": duration(node["cpu_seconds"]),
        "cpu_note": f"{count(workers)} worker processes" if workers else "a single process",
        "memory": size(node["resident_bytes"]),
        "memory_note": f"{count(node['open_files'])} of {count(node['max_open_files'])} files",
    }


def tables(status: Status) -> dict[str, list[Row]]:
    """Return the rows of the small tables by name."""
    now, http = status["time"], status["http"]
    commands = sorted(status["sidechannel"]["commands"].items(), key=lambda it: (-it[1], it[0]))
    return {
        "workers": [_worker(worker, now) for worker in status["workers"]],
        "listeners": [
            [it["kind"], it["address"], it["docroot"] or UNKNOWN] for it in status["listeners"]
        ],
        "connections": [
            [protocol, *(count(states[state]) for state in ("active", "idle", "waiting"))]
            for protocol, states in status["connections"].items()
        ],
        "requests": [_method(name, http) for name in sorted(http["requests"])],
        "commands": [[name, count(number)] for name, number in commands],
        "findings": _latest_findings(status["devices"], now),
        "threads": [
            [pool, count(states["running"]), count(states["idle"])]
            for pool, states in sorted(status["threads"].items())
        ],
    }


def _number_of_findings(device: Status) -> str:
    number = len(_findings(device))
    return f"{count(number)} finding{'s' if number > 1 else ''}" if number else ""


def _latest_findings(devices: Iterable[Status], now: float) -> list[Row]:
    found = [finding for device in devices for finding in _findings(device)]
    latest = sorted(found, key=lambda it: -it["time"])[:SHOWN_FINDINGS]
    return [
        [it["path"], it["kind"], it["found"], duration(max(now - it["time"], 0))] for it in latest
    ]


def _findings(device: Status) -> list[Status]:
    return list(device["scrub"]["findings"]) if device["scrub"] else []


def _worker(worker: Status, now: float) -> Row:
    started_at = worker["started_at"]
    return [
        str(worker["pid"]),
        worker["state"] if worker["answers"] else "no answer",
        UNKNOWN if started_at is None else duration(max(now - started_at, 0)),
        count(worker["connections"]),
        duration(worker["cpu_seconds"]),
        size(worker["resident_bytes"]),
        count(worker["open_files"]),
    ]


def _method(name: str, http: Status) -> Row:
    classes = dict.fromkeys("2345", 0)
    for code, number in http["requests"][name].items():
        if code[0] in classes:
            classes[code[0]] += number
    times = http["durations"].get(name)
    mean = times["sum_seconds"] / times["count"] if times and times["count"] else None
    return [name, *(count(number) for number in classes.values()), duration(mean)]


def _share(device: Status, part: str, whole: str) -> float | None:
    if device[part] is None or not device[whole]:
        return None
    return float(device[part] / device[whole])


def _inodes_free(device: Status) -> float | None:
    # File systems that make inodes as they need them say that they have none.
    return _share(device, "inodes_free", "inodes")
