"""Upgrades under load: USR2, and QUIT to the old process once the new one is ready."""

from __future__ import annotations

import time
from pathlib import Path

from bench.life.busy import COUNT, busy
from bench.life.node import Node
from bench.outcome import Outcome, spread

_UPGRADES = 20


def measure(home: Path) -> list[Outcome]:
    ready_s, gone_s = [], []
    with Node(home) as node, busy(node) as clients:
        for _ in range(_UPGRADES):
            began = time.monotonic()
            successor = node.begin_upgrade()
            ready_s.append(time.monotonic() - began)
            began = time.monotonic()
            node.retire(successor)
            gone_s.append(time.monotonic() - began)
            clients.see_all_served()
        clients.finish()
    samples = {
        "requests": clients.requests,
        "connections": clients.connections,
        "lost": clients.lost,
        "ready_s": ready_s,
        "gone_s": gone_s,
    }
    return [
        Outcome(
            f"{_UPGRADES} upgrades under {COUNT} busy clients",
            "0 requests lost",
            f"{len(clients.lost)} lost of {clients.requests}",
            not clients.lost,
            samples,
        ),
        Outcome("  USR2 until the new one is ready", "", spread(ready_s, " s"), None, {}),
        Outcome("  QUIT until the old one has ended", "", spread(gone_s, " s"), None, {}),
    ]
