"""Which nodes and devices are shown, and in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from mogstored.top.model import Device, Node

_DIGITS = re.compile(r"(\d+)", re.ASCII)

# Ascending; what is unknown comes last.
SORTS: dict[str, Callable[[Device], Any]] = {
    "worst": lambda device: (device.rank, *map(_falling, _urgency(device))),
    "utilization": lambda device: _falling(device.utilization_ratio),
    "full": lambda device: _falling(device.used_ratio),
    "waiting": lambda device: (_falling(device.waiting), _falling(device.in_flight)),
    "oldest": lambda device: _falling(device.oldest_waiting_seconds),
    "errors": lambda device: (_falling(device.errors_per_second), _falling(device.errors_total)),
    "requests": lambda device: _falling(device.requests_per_second),
    "name": lambda device: 0,
}


def in_order(devices: Iterable[Device], sort: str, is_reversed: bool = False) -> list[Device]:
    """Sort devices by one of `SORTS`; equal ones by the names of node and device."""
    by_name = sorted(devices, key=lambda device: (natural(device.node), natural(device.device)))
    if sort == "name":
        return by_name[::-1] if is_reversed else by_name
    return sorted(by_name, key=SORTS[sort], reverse=is_reversed)


def worst_first(nodes: Iterable[Node]) -> list[Node]:
    """Sort nodes by their own state, then by that of their devices, then by name."""
    return sorted(nodes, key=lambda node: (*node.rank, natural(node.node)))


def select(nodes: Iterable[Node], words: str) -> tuple[list[Node], list[Device]]:
    """Return what has each of the words in its names, path or state.

    A node that has them is shown with all its devices, and a device that has them with its node.
    """
    wanted = words.lower().split()
    shown_nodes, shown_devices = [], []
    for node in nodes:
        about_node = " ".join((node.node, node.hostname or "", node.state, node.detail)).lower()
        missing = [word for word in wanted if word not in about_node]
        devices = [device for device in node.devices if _has(device, missing)]
        if devices or not missing:
            shown_nodes.append(node)
            shown_devices += devices
    return shown_nodes, shown_devices


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which dev2 comes before dev10."""
    parts = _DIGITS.split(name)
    # Longer runs of digits are greater numbers, and int() refuses the longest.
    return [(len(part.lstrip("0")), part) if i % 2 else (0, part) for i, part in enumerate(parts)]


def _has(device: Device, words: list[str]) -> bool:
    if not words:
        return True
    about = (device.device, device.path, device.source, device.state, device.verdict)
    text = " ".join(part for part in about if part).lower()
    return all(word in text for word in words)


def _urgency(device: Device) -> tuple[float | None, ...]:
    """Return what orders devices in the same state."""
    if device.verdict == "full":
        return (device.used_ratio,)
    if device.verdict == "errors":
        return (device.errors_per_second,)
    return device.oldest_waiting_seconds, device.waiting, device.utilization_ratio


def _falling(value: float | None) -> float:
    return 1.0 if value is None else -value
