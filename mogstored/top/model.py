"""What is known of nodes and devices, from whatever source; the names are those of `--json`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

# A device counts as full, and as busy, from here on.
FULL_RATIO = 0.99
BUSY_RATIO = 0.9

# States of devices, the worst first. Foreign nodes have only "no answer" (its usage file does not
# come), "no usage" (there is none) and "ok".
_BAD_STATES = (
    *("down", "hung", "failed", "unmounted", "no-writes", "read-only"),
    *("no answer", "no usage"),
)
# What a device that is "ok" may suffer from.
_TROUBLES = ("full", "busy", "waiting", "errors", "findings")
VERDICTS = (*_BAD_STATES, "unknown", *_TROUBLES, "ok")
_RANK = {verdict: rank for rank, verdict in enumerate(VERDICTS)}
_WORST_OK = _RANK["full"]

NODE_STATES = (
    "no answer",
    "bad answer",
    "no HTTP",
    "not ready",
    "draining",
    "starting",
    "asking",
    "ok",
)
_NODE_RANK = {state: rank for rank, state in enumerate(NODE_STATES)}
# Up to here, a node is worse than one with a bad device.
_SEVERE = _NODE_RANK["not ready"]
# Of these, nothing is known.
_SILENT = {"no answer", "bad answer", "asking"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device at one time; None stands for what its node does not say."""

    node: str
    device: str
    docroot: str | None = None
    path: str | None = None
    source: str | None = None
    state: str
    state_since: float | None = None
    size_bytes: float | None = None
    available_bytes: float | None = None
    inodes: float | None = None
    inodes_free: float | None = None
    utilization_ratio: float | None = None
    utilization_history: tuple[float | None, ...] = ()
    in_flight: float | None = None
    waiting: float | None = None
    oldest_waiting_seconds: float | None = None
    requests_total: float | None = None
    errors_total: float | None = None
    scrub_findings: float | None = None
    """Files that are not what was stored; None where nothing looks for them."""
    requests_per_second: float | None = None
    errors_per_second: float | None = None

    @property
    def key(self) -> tuple[str | None, str]:
        """What it is known by on its node."""
        return self.docroot, self.device

    @property
    def used_ratio(self) -> float | None:
        return _used(self.size_bytes, self.available_bytes)

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`: its state, or what else is the matter."""
        if self.state != "ok":
            return self.state if self.state in _BAD_STATES else "unknown"
        used = max(self.used_ratio or 0, _used(self.inodes, self.inodes_free) or 0)
        suffers = (
            used >= FULL_RATIO,
            (self.utilization_ratio or 0) >= BUSY_RATIO,
            bool(self.waiting),
            bool(self.errors_per_second),
            bool(self.scrub_findings),
        )
        return next((name for name, is_so in zip(_TROUBLES, suffers, strict=True) if is_so), "ok")

    @property
    def shown_state(self) -> str:
        """The verdict, or a state that this version does not know."""
        return self.state if self.verdict == "unknown" else self.verdict

    @property
    def rank(self) -> int:
        """The worse, the smaller."""
        return _RANK[self.verdict]

    @property
    def is_bad(self) -> bool:
        """Whether it does not serve as it should; a device that is full or busy does."""
        return self.rank < _WORST_OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node at one time; None stands for what it does not say."""

    node: str
    """The address as it was given."""
    state: str
    """One of `NODE_STATES`."""
    detail: str = ""
    """Why the state is not "ok", or what else the operator should know."""
    via: str | None = None
    """What answered: "admin", or "sidechannel" where there is no admin listener."""
    hostname: str | None = None
    version: str | None = None
    started_at: float | None = None
    uptime_seconds: float | None = None
    worker_processes: float | None = None
    worker_restarts: float | None = None
    connections: float | None = None
    requests_total: float | None = None
    failed_requests_total: float | None = None
    received_bytes_total: float | None = None
    sent_bytes_total: float | None = None
    requests_per_second: float | None = None
    failed_requests_per_second: float | None = None
    received_bytes_per_second: float | None = None
    sent_bytes_per_second: float | None = None
    devices: tuple[Device, ...] = field(default=(), repr=False)

    @property
    def answers(self) -> bool:
        return self.state not in _SILENT

    @property
    def is_whole(self) -> bool:
        """Whether all parts of the node answered."""
        return self.answers and self.state != "no HTTP"

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """The worse, the smaller: whether it is of use, its worst device, how many of these."""
        own = _NODE_RANK[self.state]
        ranks = [device.rank for device in self.devices]
        worst = min(ranks, default=_RANK["ok"])
        return min(own, _SEVERE + 1), worst, -ranks.count(worst) if worst < _RANK["ok"] else 0, own

    @property
    def used_ratio(self) -> float | None:
        return _used(self.size_bytes, _sum(device.available_bytes for device in self._measured))

    @property
    def size_bytes(self) -> float | None:
        return _sum(device.size_bytes for device in self._measured)

    @property
    def errors_per_second(self) -> float | None:
        return _sum(device.errors_per_second for device in self.devices)

    @property
    def _measured(self) -> Sequence[Device]:
        known = (d for d in self.devices if d.size_bytes is not None)
        return [device for device in known if device.available_bytes is not None]


def with_rates(now: Node, before: Node | None, elapsed_s: float) -> Node:
    """Return `now` with what changed since `before` as rates.

    A rate is unknown where a count is, and where it went back: the node was started again.
    """
    if before is None or elapsed_s <= 0:
        return now

    def rate(new: float | None, old: float | None) -> float | None:
        is_known = new is not None and old is not None and new >= old
        return (new - old) / elapsed_s if is_known else None  # type: ignore[operator]

    earlier = {device.key: device for device in before.devices}
    devices = []
    for device in now.devices:
        if old := earlier.get(device.key):
            device = replace(
                device,
                requests_per_second=rate(device.requests_total, old.requests_total),
                errors_per_second=rate(device.errors_total, old.errors_total),
            )
        devices.append(device)
    return replace(
        now,
        devices=tuple(devices),
        requests_per_second=rate(now.requests_total, before.requests_total),
        failed_requests_per_second=rate(now.failed_requests_total, before.failed_requests_total),
        received_bytes_per_second=rate(now.received_bytes_total, before.received_bytes_total),
        sent_bytes_per_second=rate(now.sent_bytes_total, before.sent_bytes_total),
    )


def _used(size: float | None, available: float | None) -> float | None:
    if not size or available is None:
        return None
    return min(1.0, max(0.0, 1 - available / size))


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
