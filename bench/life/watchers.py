"""How soon one more watcher is served, beside a crowd that is sent reports at full speed."""

from __future__ import annotations

import time
from pathlib import Path

from bench import cpu
from bench.life.child import Child
from bench.life.node import Node
from bench.life.waiting import wait_for
from bench.outcome import Outcome, spread
from bench.peers import PeerFailed

GOAL_S = 1.5
_CROWD = 400
_TRIES = 10
_DEVICES = 20
# A report is the line of a disk and an empty one. No pause between them but that of the pipe.
_FLOOD = {"MOG_IOSTAT_CMD": "yes 'sda 0.00 1.23\n'"}


def measure(home: Path) -> list[Outcome]:
    with (
        Node(home, devices=_DEVICES, env=_FLOOD) as node,
        Child("bench.life.crowd", node.mgmt, _CROWD) as crowd,
    ):
        wait_for(lambda: crowd.ask("report")["served"] == _CROWD, "all the crowd is served")
        before, used, began = crowd.ask("report"), cpu.cpu_s(node.pid), time.monotonic()
        times = [_first_block_s(node) for _ in range(_TRIES)]
        took_s = time.monotonic() - began
        after, cpu_s = crowd.ask("report"), cpu.cpu_s(node.pid) - used
    if after["closed"]:
        raise PeerFailed(f"{after['closed']} watchers were closed: {node.log_tail()}")
    rate = (after["blocks"] - before["blocks"]) / took_s
    return [
        Outcome(
            f"first block of one more watcher beside {_CROWD}",
            f"all < {GOAL_S:g} s",
            spread(times, " s"),
            max(times) < GOAL_S,
            {"first_block_s": times},
        ),
        Outcome(
            "  meanwhile, to the crowd",
            "",
            f"{rate:.0f} blocks/s, {cpu_s / took_s:.2f} processors",
            None,
            {"blocks_per_s": rate, "processors": cpu_s / took_s},
        ),
    ]


def _first_block_s(node: Node) -> float:
    began = time.monotonic()
    with node.manage() as watcher:
        watcher.sendall(b"watch\n")
        received = b"\n"
        while b"\n.\n" not in received:
            piece = watcher.recv(65536)
            if not piece:
                raise PeerFailed("the watcher was closed")
            received += piece
        return time.monotonic() - began
