"""Kill the machine under a node in the middle of its load, and look at its disk then.

The machine is a guest of qemu. Its disk is an image behind the server that records writes and
flushes, so each kill is looked at in two ways. `kept`: the disk holds all that the guest has
written to it, as qemu leaves it; lost is what only the memory of the guest held. `lost`: the disk
had a volatile cache, too, and of what the guest has not flushed any part is gone.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from bench.bad_disk.control import mounted as served
from tests.crash import power
from tests.crash.guest import booted, build
from tests.crash.load import CLIENTS, Load
from tests.crash.power import KINDS, look_at, make_image, scratch_directory
from tests.crash.record import Images, Position, Record
from tests.crash.table import Table
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.crash.guest import System
    from tests.crash.load import Names

CACHES = ("kept", "lost")
# What a volatile cache loses is drawn so often for each kill.
_DRAWS = 8
# A kill comes after so many answers, and up to so many seconds.
_ANSWERS = (20, 300)
_MOST_S = 0.5


@dataclass(slots=True)
class Result(power.Result):
    """What was found after all kills together; `moments` counts the images."""

    cache: str = ""
    kills: int = 0
    lost_clients: int = 0

    def row(self) -> list[object]:
        return [self.cache, self.kills, self.lost_clients, *power.Result.row(self)]


def headings() -> list[str]:
    return ["cache", "kills", "lost clients", *power.headings()]


def try_out(system: System, level: str, kind: str, *, kills: int, seed: int) -> list[Result]:
    """Kill a machine so often; return a result for each of `CACHES`.

    **Raises:** `CannotMount` where the system has no FUSE; `VMError` where it has no qemu.
    """
    results = [Result(level, kind, 0, cache=cache) for cache in CACHES]
    draw = Random(f"{seed} {level} {kind}")
    for _ in range(kills):
        with scratch_directory() as scratch:
            make_image(kind, scratch / "base.img")
            load, names, record = _kill(system, level, kind, scratch, draw)
            images = Images(scratch / "base.img", record, scratch)
            for result in results:
                result.kills += 1
                result.flushes += len(record.flushes)
                result.acknowledged += load.acknowledged()
                result.errors += load.errors
                result.lost_clients += len(load.lost)
                _look(result, images, len(record), names, scratch, draw)
    return results


def _kill(
    system: System, level: str, kind: str, scratch: Path, draw: Random
) -> tuple[Load, Names, Record]:
    """Boot a machine, and kill it in the middle of its load."""
    log, position = scratch / "record", Position(scratch / "position")
    log.touch()
    files = (str(scratch / "base.img"), str(log), str(scratch / "position"))
    with served(scratch / "served", "tests.crash.recorder", *files):
        image = scratch / "served" / "image"
        with booted(system, image, kind, level, scratch / "console") as guest:
            load = Load(guest.http, position, draw.randrange(1 << 30), may_lose_clients=True)
            due = draw.randint(*_ANSWERS)
            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(load.run, math.inf, None)
                try:
                    wait_until(
                        lambda: load.acknowledged() >= due or load.errors or _has_lost_most(load),
                        f"{due} requests are answered",
                        10 * PATIENCE_S,
                    )
                    time.sleep(draw.uniform(0.0, _MOST_S))
                finally:
                    load.is_cut = True
                    guest.cut()
                names = running.result()
        if _has_lost_most(load):
            load.errors += load.lost
        if load.errors:
            load.errors.append(f"the console: {guest.last_lines()}")
    return load, names, Record(log)


def _has_lost_most(load: Load) -> bool:
    # An emulated network resets a connection now and then; a machine that is gone, all of them.
    return len(load.lost) > CLIENTS // 2


def _look(
    result: Result, images: Images, moment: int, names: Names, scratch: Path, draw: Random
) -> None:
    mount_point = scratch / "cut"
    mount_point.mkdir(exist_ok=True)
    is_kept = result.cache == "kept"
    for _ in range(1 if is_kept else _DRAWS):
        images.build(moment, mount_point.with_suffix(".img"), None if is_kept else draw)
        result.findings.merge(look_at(result.kind, mount_point, names, moment))
        result.moments += 1


def prove(levels: Sequence[str], count: int, seed: int) -> bool:
    """Kill a machine `count` times for each level and kind; say whether all is right."""
    table = Table(headings())
    system = build()
    is_right = True
    for kind in KINDS:
        for level in levels:
            for result in try_out(system, level, kind, kills=count, seed=seed):
                table.add(result.row())
                is_right &= result.is_right()
                for line in result.faults():
                    print(f"  {line[:2000]}", flush=True)
    return is_right
