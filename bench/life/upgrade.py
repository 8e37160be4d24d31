"""Upgrades under load: USR2, and QUIT to the old process once the new one is ready."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator

from bench.base.figures import spread
from bench.base.outcome import Outcome, beside
from bench.environment import Environment
from bench.life.clients import COUNT, busy
from bench.servers.peers import Peer, wait_for

_BEGUN = re.compile(r"upgrade started: process (\d+)")


def measure(environment: Environment) -> Iterator[Outcome]:
    upgrades = environment.scale.upgrades
    ready_s, gone_s = [], []
    with environment.peers.node(mgmt=True) as node, busy(node) as clients:
        for _ in range(upgrades):
            began = time.monotonic()
            successor = begin(node)
            ready_s.append(time.monotonic() - began)
            began = time.monotonic()
            os.kill(node.pid, signal.SIGQUIT)
            wait_for(lambda: node.has_ended(node.pid), "the old process has ended")
            gone_s.append(time.monotonic() - began)
            node.pid = successor
            clients.see_all_served()
        clients.look("finish")
    yield Outcome(
        f"{upgrades} upgrades under {COUNT} busy clients",
        f"{len(clients.lost)} lost of {clients.requests}",
        "0 requests lost",
        not clients.lost,
        {"lost": clients.lost, "connections": clients.connections},
    )
    yield beside("USR2 until the new one is ready", spread(ready_s, " s"), {"ready_s": ready_s})
    yield beside("QUIT until the old one has ended", spread(gone_s, " s"), {"gone_s": gone_s})


def begin(node: Peer) -> int:
    """Ask for a successor; return its process id once it is ready. The old one goes on."""
    begun = len(_BEGUN.findall(node.log_text()))
    os.kill(node.pid, signal.SIGUSR2)
    pids = wait_for(lambda: _BEGUN.findall(node.log_text())[begun:], "the upgrade is logged")
    wait_for(lambda: f"mogstored[{pids[0]}]: ready\n" in node.log_text(), "it is ready")
    return int(pids[0])
