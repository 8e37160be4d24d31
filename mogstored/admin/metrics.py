"""The metrics of the node, as families of `prometheus_client`.

This module says what each metric is. Those of devices are many, and `mogstored.admin.exposition`
has a faster way to the same text.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeVar

import mogstored
from mogpoll.backends import backend_name
from mogstored.admin.encoders import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    floatToGoString,
)
from mogstored.admin.sums import STATES
from mogstored.admin.view import DeviceView, NodeView
from mogstored.observability.histogram import DEVICE_BOUNDS_S, HTTP_BOUNDS_S, HistogramState
from mogstored.observability.snapshot import DeviceSnapshot

PYTHON = ".".join(map(str, sys.version_info[:3]))

# Gauges of devices by the field that has the value.
DEVICE_GAUGES = {
    "size_bytes": ("mogstored_device_size_bytes", "Size of the device's file system."),
    "available_bytes": (
        "mogstored_device_available_bytes",
        "Bytes of the device's file system that the node may still fill.",
    ),
    "inodes": ("mogstored_device_inodes", "Inodes of the device's file system."),
    "inodes_free": ("mogstored_device_inodes_free", "Unused inodes of the device's file system."),
    "in_flight": (
        "mogstored_device_requests_in_flight",
        "Requests that a thread is serving on the device.",
    ),
    "waiting": (
        "mogstored_device_requests_waiting",
        "Requests that wait for a thread because others use the device.",
    ),
    "utilization": (
        "mogstored_device_utilization_ratio",
        "Share of the last second in which the disk was busy.",
    ),
}
DEVICE_STATE = (
    "mogstored_device_state",
    "1 for the state that the device is in, 0 for the others.",
)
DEVICE_WAIT = (
    "mogstored_device_wait_seconds",
    "Time that requests waited for their turn on the device.",
)
DEVICE_OPERATION = (
    "mogstored_device_operation_seconds",
    "Time that requests used the device, by what they did there.",
)
# By what is counted of a scrub.
DEVICE_SCRUB = {
    "files": ("mogstored_scrub_files_total", "Files that were read again, in the background."),
    "bytes": ("mogstored_scrub_read_bytes_total", "Bytes of files that were read again."),
}
SCRUB_KINDS = ("mismatch", "unreadable", "bad_checksum")
SCRUB_FINDINGS = (
    "mogstored_scrub_findings_total",
    "Files that are not what was stored, or cannot be read again.",
)
DEVICE_ERRORS = (
    "mogstored_device_errors_total",
    "System calls on the device that failed because of its disk.",
)


def bucket_labels(bounds: Sequence[float]) -> list[str]:
    """Return the values of the label `le`."""
    return [*map(number, bounds), "+Inf"]


def number(value: float) -> str:
    """Return a number as the formats write it."""
    text: Any = floatToGoString  # which has no types
    return str(text(value))


DEVICE_BUCKETS = bucket_labels(DEVICE_BOUNDS_S)
HTTP_BUCKETS = bucket_labels(HTTP_BOUNDS_S)


class Collector:
    """What the library's encoders render, made once."""

    def __init__(self, families: Iterator[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def node_families(view: NodeView) -> Iterator[Metric]:
    """Yield everything but what has a label `device`."""
    total = view.total
    yield _build_info()
    yield _by_labels(
        CounterMetricFamily(
            "mogstored_http_requests_total",
            "Requests answered, by the status of the answer.",
            labels=["method", "code"],
        ),
        {
            (method, str(status)): count
            for method, statuses in total.requests.items()
            for status, count in statuses.items()
        },
    )
    durations = HistogramMetricFamily(
        "mogstored_http_request_duration_seconds",
        "Time from the first byte of a request to the last one of its answer.",
        labels=["method"],
    )
    for method, state in total.durations.items():
        _add(durations, [method], HTTP_BUCKETS, state)
    yield durations
    yield _counter(
        "mogstored_http_received_bytes",
        "Bytes received over HTTP, heads included.",
        total.received_bytes,
    )
    yield _counter(
        "mogstored_http_sent_bytes", "Bytes sent over HTTP, heads included.", total.sent_bytes
    )
    yield _by_labels(
        GaugeMetricFamily(
            "mogstored_connections",
            "Open connections; a waiting one waits for a device.",
            labels=["protocol", "state"],
        ),
        total.connections,
    )
    commands = CounterMetricFamily(
        "mogstored_sidechannel_commands_total",
        "Commands that trackers sent on the sidechannel.",
        labels=["command"],
    )
    yield _by_labels(commands, {(name,): count for name, count in total.commands.items()})
    yield _counter(
        "mogstored_content_md5_mismatches",
        "Uploads refused because their content did not match its Content-MD5.",
        total.md5_mismatches,
    )
    yield _by_labels(
        GaugeMetricFamily(
            "mogstored_threads", "Threads, by what they are for.", labels=["pool", "state"]
        ),
        total.threads,
    )
    yield from _of_the_log(view)
    yield from _of_processes(view)


def device_families(view: NodeView) -> Iterator[Metric]:
    """Yield what has a label `device`."""
    for field, (name, about) in DEVICE_GAUGES.items():
        gauge = GaugeMetricFamily(name, about, labels=["device"])
        for device in view.devices:
            value = getattr(device.counters, field)
            if value is not None:
                gauge.add_metric([device.label], value)
        yield gauge
    states = GaugeMetricFamily(*DEVICE_STATE, labels=["device", "state"])
    for device in view.devices:
        for state in known_states(device.counters):
            states.add_metric([device.label, state], int(state == device.counters.state))
    yield states
    yield from _device_histograms(view.devices)
    errors = CounterMetricFamily(*DEVICE_ERRORS, labels=["device", "operation", "errno"])
    for device in view.devices:
        for (operation, errno), count in device.counters.errors.items():
            errors.add_metric([device.label, operation, errno], count)
    yield errors
    yield from _device_scrubs(view.devices)


def _device_scrubs(devices: Sequence[DeviceView]) -> Iterator[Metric]:
    for field, texts in DEVICE_SCRUB.items():
        counter = CounterMetricFamily(*texts, labels=["device"])
        for device in devices:
            if device.counters.scrub:
                counter.add_metric([device.label], device.counters.scrub[field])
        yield counter
    findings = CounterMetricFamily(*SCRUB_FINDINGS, labels=["device", "kind"])
    for device in devices:
        if device.counters.scrub:
            for kind in SCRUB_KINDS:
                findings.add_metric([device.label, kind], device.counters.scrub[kind])
    yield findings


def known_states(device: DeviceSnapshot) -> tuple[str, ...]:
    return STATES if device.state in STATES else (*STATES, device.state)


def _device_histograms(devices: Sequence[DeviceView]) -> Iterator[Metric]:
    waits = HistogramMetricFamily(*DEVICE_WAIT, labels=["device"])
    operations = HistogramMetricFamily(*DEVICE_OPERATION, labels=["device", "operation"])
    for device in devices:
        if device.counters.wait is not None:
            _add(waits, [device.label], DEVICE_BUCKETS, device.counters.wait)
        for operation, state in device.counters.operations.items():
            _add(operations, [device.label, operation], DEVICE_BUCKETS, state)
    yield waits
    yield operations


def _build_info() -> Metric:
    # Not an info of OpenMetrics, which would not be a gauge in both formats.
    build = GaugeMetricFamily(
        "mogstored_build_info",
        "What the node is made of; always 1.",
        labels=["version", "python", "backend"],
    )
    build.add_metric([mogstored.__version__, PYTHON, backend_name()], 1)
    return build


def _of_the_log(view: NodeView) -> Iterator[Metric]:
    yield _counter(
        "mogstored_access_log_dropped",
        "Lines of the access log that were lost because it is too slow.",
        view.total.access_log_dropped,
    )
    yield _counter(
        "mogstored_log_dropped",
        "Messages that were lost because the reader of the log is too slow.",
        view.total.log_dropped,
    )


def _of_processes(view: NodeView) -> Iterator[Metric]:
    facts, usage = view.facts, view.usage
    yield _counter(
        "mogstored_worker_restarts",
        "Worker processes that were started in place of one that had ended.",
        facts.worker_restarts,
    )
    yield _counter(
        "mogstored_upgrades",
        "Upgrades between the first process on these ports and this one.",
        facts.upgrades,
    )
    gauges = (
        ("mogstored_open_files", "Open files of all processes of the node.", usage.open_files),
        ("mogstored_worker_processes", "Processes that serve.", len(view.processes)),
        (
            "mogstored_ready",
            "1 if the node serves and has a usable device.",
            int(not view.not_ready_reasons),
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory of all processes of the node; shared pages count in each.",
            usage.resident_bytes,
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory of all processes of the node.",
            usage.virtual_bytes,
        ),
        (
            "process_start_time_seconds",
            "When the leading process started, in seconds since the epoch.",
            facts.started_at,
        ),
        ("process_open_fds", "Open files of all processes of the node.", usage.open_files),
        (
            "process_max_fds",
            "The limits of open files of all processes of the node together.",
            view.max_open_files,
        ),
    )
    for name, about, value in gauges:
        yield GaugeMetricFamily(name, about, value=value)
    yield _counter(
        "process_cpu_seconds",
        "Processor time of all processes of the node.",
        usage.cpu_s,
    )


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


_Labels = TypeVar("_Labels", bound=tuple[str, ...])


def _by_labels(
    family: CounterMetricFamily | GaugeMetricFamily,
    values: Mapping[_Labels, int],
) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _add(
    family: HistogramMetricFamily,
    labels: Sequence[str],
    buckets: Sequence[str],
    state: HistogramState,
) -> None:
    counts = accumulate(state.counts)
    family.add_metric(labels, list(zip(buckets, counts, strict=True)), state.seconds)
