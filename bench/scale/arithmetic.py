"""From what one node was measured to do to clusters of many: multiplication, and no more.

It assumes that nodes are alike and that nothing but the number of nodes, devices and trackers
grows. Neither the tracker's own processor time, nor its database, nor a network is in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.scale.monitor import ROUND_S, WRITE_TEST_S

NODES = (40, 400, 4000)
DEVICES = 24
SCRAPE_S = 15.0
# Prometheus says 1 to 2: https://prometheus.io/docs/prometheus/latest/storage/
SAMPLE_BYTES = 1.5
_DAY_S = 86400


@dataclass(frozen=True, slots=True)
class Metrics:
    """Series of a node: so many, and so many more for each device."""

    base: float
    each_device: float

    @classmethod
    def from_two(cls, small: tuple[int, int], large: tuple[int, int]) -> Metrics:
        """Fit two measured pairs of devices and series."""
        each = (large[1] - small[1]) / (large[0] - small[0])
        return cls(small[1] - each * small[0], each)

    def of_node(self, devices: int) -> float:
        return self.base + self.each_device * devices


def monitor_requests_per_s(devices: int) -> float:
    """What one tracker sends for so many devices: a look each round, two requests a write test."""
    return devices / ROUND_S + 2 * devices / WRITE_TEST_S


def monitor_line(nodes: int, answer_s: float) -> str:
    """What one tracker has to do; `answer_s` is the measured time of a request."""
    devices = nodes * DEVICES
    per_s = monitor_requests_per_s(devices)
    busy = per_s * answer_s
    return f"{devices:,} devices: {per_s:,.0f} requests/s, {busy:,.1f} connections busy"


def watch_line(nodes: int, bytes_per_line: float) -> str:
    """What one tracker reads of all nodes."""
    lines = nodes * (DEVICES + 1)
    return f"{nodes:,} connections, {lines:,} lines/s, {lines * bytes_per_line / 1e6:.2f} MB/s"


def metrics_line(nodes: int, metrics: Metrics) -> str:
    series = nodes * metrics.of_node(DEVICES)
    samples_per_s = series / SCRAPE_S
    day_gb = samples_per_s * _DAY_S * SAMPLE_BYTES / 1e9
    return f"{series:,.0f} series, {samples_per_s:,.0f} samples/s, {day_gb:,.1f} GB a day"


def fsck_line(nodes: int, files: float, copies: int, cpu_us: float) -> str:
    """What each node spends on the HEADs of one fsck, at the measured time of a HEAD."""
    heads = files * copies / nodes
    return f"{heads:,.0f} HEADs a node, {heads * cpu_us / 1e6 / 60:,.1f} min of a processor"


def upgrade_line(nodes: int, one_s: float, together: float) -> str:
    """A rolling upgrade one by one, and with a part of the nodes at once."""
    groups = -(-nodes // max(1, int(nodes * together)))
    return f"{_duration(nodes * one_s)} one by one, {_duration(groups * one_s)} in {groups} groups"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
