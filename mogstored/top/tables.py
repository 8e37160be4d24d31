"""The columns of the tables of nodes and devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.text import Text

from mogstored.top import columns
from mogstored.top.columns import Column, Layout
from mogstored.top.model import BUSY_RATIO, FULL_RATIO, VERDICTS, Device, Node

_FAULT, _WARNING, _FINE = "bold red", "yellow", "green"
_STYLES = {
    **dict.fromkeys(("down", "hung", "failed", "no answer", "bad answer", "no HTTP"), _FAULT),
    **dict.fromkeys(("no-writes", "read-only", "unmounted", "not ready"), "bold yellow"),
    "ok": _FINE,
    "asking": columns.DIM,
}
# Shares of what a device or node holds, from which on they are coloured.
_NEARLY_FULL, _RATHER_BUSY = 0.85, 0.6


def style_of(state: str) -> str:
    return _STYLES.get(state, _WARNING)


def _graded(ratio: float | None, warning: float, fault: float) -> str:
    ratio = ratio or 0
    return _FAULT if ratio >= fault else _WARNING if ratio >= warning else _FINE


def _used(ratio: float | None, width: int) -> Text:
    return columns.bar(ratio, width, _graded(ratio, _NEARLY_FULL, FULL_RATIO))


def _note(node: Node) -> Text:
    counts = Counter(device.shown_state for device in node.devices)
    parts = [
        Text(f"{count} {state}", style_of(state))
        for state, count in _by_rank(counts, VERDICTS)
        if state != "ok"
    ]
    if node.detail:
        parts.append(Text(node.detail, "" if node.state != "ok" else columns.DIM))
    return Text(", ").join(parts)


def _by_rank(counts: Counter[str], ranks: Sequence[str]) -> list[tuple[str, int]]:
    unknown = ranks.index("unknown") if "unknown" in ranks else len(ranks)
    return sorted(
        counts.items(), key=lambda item: ranks.index(item[0]) if item[0] in ranks else unknown
    )


NODE_TABLE: Layout[Node] = Layout(
    "NODE STATE NOTE REQ/S 5XX/S USED DEV CONN OUT/S IN/S UP SIZE VERSION",
    Column(
        title="NODE",
        cell=lambda node, _: columns.plain(node.node, "bold"),
        least=20,
        most=40,
        is_text=True,
    ),
    Column(
        title="STATE",
        cell=lambda node, _: Text(node.state, style_of(node.state)),
        least=10,
        is_text=True,
    ),
    Column(title="DEV", cell=lambda node, _: columns.number(len(node.devices)), least=4),
    Column(
        title="USED",
        cell=lambda node, width: _used(node.used_ratio, width),
        least=4,
        most=15,
    ),
    Column(title="SIZE", cell=lambda node, _: columns.size(node.size_bytes)),
    Column(title="CONN", cell=lambda node, _: columns.number(node.connections)),
    Column(title="REQ/S", cell=lambda node, _: columns.number(node.requests_per_second)),
    Column(
        title="5XX/S",
        cell=lambda node, _: columns.number(node.failed_requests_per_second, _WARNING),
    ),
    Column(title="IN/S", cell=lambda node, _: columns.size(node.received_bytes_per_second)),
    Column(title="OUT/S", cell=lambda node, _: columns.size(node.sent_bytes_per_second)),
    Column(title="UP", cell=lambda node, _: columns.seconds(node.uptime_seconds)),
    Column(
        title="VERSION",
        cell=lambda node, _: columns.plain(node.version),
        most=12,
        is_text=True,
    ),
    Column(
        title="NOTE",
        cell=lambda node, _: _note(node),
        least=36,
        most=100,
        is_text=True,
    ),
)

DEVICE_TABLE: Layout[Device] = Layout(
    "DEVICE STATE NODE USED UTIL WAIT ERR/S OLDEST REQ/S BUSY SIZE HISTORY FINDINGS ERRORS SOURCE",
    Column(
        title="DEVICE",
        cell=lambda device, _: columns.plain(device.device, "bold"),
        most=20,
        is_text=True,
    ),
    Column(
        title="NODE",
        cell=lambda device, _: columns.plain(device.node),
        least=16,
        most=40,
        is_text=True,
    ),
    Column(
        title="STATE",
        cell=lambda device, _: Text(device.shown_state, style_of(device.shown_state)),
        least=9,
        most=12,
        is_text=True,
    ),
    Column(
        title="USED",
        cell=lambda device, width: _used(device.used_ratio, width),
        least=9,
        most=17,
    ),
    Column(title="SIZE", cell=lambda device, _: columns.size(device.size_bytes)),
    Column(
        title="UTIL",
        cell=lambda device, _: columns.percent(
            device.utilization_ratio,
            _graded(device.utilization_ratio, _RATHER_BUSY, BUSY_RATIO),
        ),
        least=4,
    ),
    Column(
        title="HISTORY",
        cell=lambda device, width: columns.history(device.utilization_history, width),
        least=12,
        most=30,
        is_text=True,
    ),
    Column(title="BUSY", cell=lambda device, _: columns.number(device.in_flight), least=4),
    Column(
        title="WAIT",
        cell=lambda device, _: columns.number(device.waiting, _WARNING),
        least=4,
    ),
    Column(
        title="OLDEST",
        cell=lambda device, _: columns.seconds(device.oldest_waiting_seconds, _WARNING),
    ),
    Column(title="ERR/S", cell=lambda device, _: columns.number(device.errors_per_second, _FAULT)),
    Column(title="REQ/S", cell=lambda device, _: columns.number(device.requests_per_second)),
    Column(title="ERRORS", cell=lambda device, _: columns.number(device.errors_total)),
    Column(
        title="FINDINGS", cell=lambda device, _: columns.number(device.scrub_findings, _WARNING)
    ),
    Column(
        title="SOURCE",
        cell=lambda device, _: columns.plain(device.source, columns.DIM),
        least=9,
        most=30,
        is_text=True,
    ),
)


def summary(states: Iterable[str], ranks: Sequence[str]) -> Text:
    """Return how many are in which state, the worst first; if all are fine, that alone."""
    counts = _by_rank(Counter(states), ranks)
    parts = [Text(f"{count} {state}", style_of(state)) for state, count in counts if state != "ok"]
    return Text(", ").join(parts) if parts else Text("ok", style_of("ok"))
