"""Make docs/top.svg: the live view of a made-up cluster with a bit of everything.

python packaging/docs/top_picture.py [FILE]       writes the picture
python packaging/docs/top_picture.py --text       prints what it shows

It needs rich, the extra `top`.
"""

from __future__ import annotations

import io
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.screen import Screen
from rich.terminal_theme import MONOKAI

from mogstored.top.model import Node, with_rates
from mogstored.top.sources.status import parse_status
from mogstored.top.view import Look, screen

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "top.svg"
WIDTH, HEIGHT = 104, 26
_NOW = 1_796_000_000
_TIB = 2**40
_NODES, _DEVICES = 12, 16
# No fonts of another host, and none but the reader's own.
_FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px monospace; line-height: {line_height}px; }}
{styles}
</style>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
# Lines are as long as they are, and end where they end.
_NEEDLESS = re.compile(r' clip-path="[^"]*"|[ \t]+$', re.MULTILINE)
# What is the matter, by node and device.
_TROUBLE = {
    (3, 5): {
        "state": "hung",
        "utilization_ratio": 1.0,
        "in_flight": 10,
        "waiting": 37,
        "oldest_waiting_seconds": 48.2,
    },
    (7, 12): {"state": "failed", "errors": 14, "waiting": 0},
    (5, 2): {"state": "read-only", "errors": 3},
    (9, 9): {"state": "unmounted", "size_bytes": None, "available_bytes": None},
    (3, 11): {"used": 0.981},
    (6, 4): {"used": 0.962},
    (2, 8): {
        "utilization_ratio": 0.97,
        "in_flight": 10,
        "waiting": 4,
        "oldest_waiting_seconds": 0.31,
    },
    (8, 1): {"utilization_ratio": 0.93, "in_flight": 8},
}


def main() -> int:
    """Write or print it."""
    text = "--text" in sys.argv[1:]
    console = Console(
        record=True,
        width=WIDTH,
        height=HEIGHT,
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
        highlight=False,
        _environ={},
    )
    console.print(Screen(screen(list(cluster()), Look(), (WIDTH, HEIGHT), "14:03:27")), end="")
    if text:
        print(console.export_text(), end="")
        return 0
    files = [word for word in sys.argv[1:] if not word.startswith("--")]
    svg = console.export_svg(
        title="mogstored top stor01 stor02 ...",
        theme=MONOKAI,
        code_format=_FORMAT,
        unique_id="top",
    )
    (Path(files[0]) if files else PICTURE).write_text(_NEEDLESS.sub("", svg))
    return 0


def cluster() -> Iterator[Node]:
    """Yield nodes as the clients of top would."""
    chance = random.Random(14)
    for number in range(1, _NODES + 1):
        name = f"stor{number:02}"
        if number == 10:
            detail = "ports 7502 and 7501: no connection"
            yield Node(node=name, state="no answer", detail=detail)
            continue
        before, now = (_status(number, chance, age_s) for age_s in (0, 2))
        earlier, later = (parse_status(json.dumps(each).encode(), name) for each in (before, now))
        yield with_rates(later, earlier, 2.0)


def _status(number: int, chance: random.Random, age_s: int) -> dict[str, object]:
    load = 180 + 25 * (number * 7 % 9)
    devices = [_device(number, device, chance, age_s) for device in range(1, _DEVICES + 1)]
    requests = 10_000_000 + load * age_s
    return {
        "schema": 1,
        "node": {
            "hostname": f"stor{number:02}",
            "version": "0.2.0",
            "state": "draining" if number == 4 else "serving",
            "ready": number != 4,
            "started_at": _NOW - 86400 * (3 + number % 4),
            "uptime_seconds": 86400 * (3 + number % 4),
            "worker_processes": 4,
        },
        "connections": {"http": {"idle": 40 + number, "active": 6, "waiting": 0}},
        "http": {
            "requests": {"GET": {"200": requests, "503": 12 * age_s if number == 3 else 0}},
            "received_bytes": 40_000 * load * age_s,
            "sent_bytes": 210_000 * load * age_s,
        },
        "devices": devices,
    }


def _device(number: int, device: int, chance: random.Random, age_s: int) -> dict[str, object]:
    trouble = dict(_TROUBLE.get((number, device), {}))
    busy = chance.uniform(0.05, 0.55)
    level = trouble.get("utilization_ratio", busy)
    used = trouble.pop("used", chance.uniform(0.55, 0.83))
    errors = trouble.pop("errors", 0)
    is_stuck = trouble.get("state") in ("hung", "unmounted", "failed")
    return {
        "device": f"dev{(number - 1) * _DEVICES + device}",
        "docroot": "/var/mogdata",
        "source": f"/dev/sd{chr(96 + device)}1",
        "state": "ok",
        "size_bytes": 14.6 * _TIB,
        "available_bytes": 14.6 * _TIB * (1 - used),
        "utilization_ratio": busy,
        "utilization_history": [
            min(1.0, max(0.0, level + chance.uniform(-0.15, 0.15))) for _ in range(60)
        ],
        "in_flight": round(busy * 5),
        "waiting": 0,
        "oldest_waiting_seconds": 0,
        "errors_total": errors * (5 + age_s),
        "operations": {"read": {"count": 0 if is_stuck else round(80 * busy) * age_s}},
        **trouble,
    }


if __name__ == "__main__":
    sys.exit(main())
