"""Memory of a process for each registered descriptor: `python -m bench.poller.memory COUNT`.

A process of its own, so that nothing else has used and freed memory before. It is measured twice
with new pollers: the resident size as the system sees it, in whole pages, and what Python has
allocated, to the byte. What the kernel keeps for a registration is in neither. The number of a
descriptor is an object of its own for each registration, as it is when a socket is asked for it.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass

import psutil

from bench.base.machine import require_files
from bench.load.child import Child, serve
from bench.poller.cycle import pairs
from mogpoll import Interest, open_poller


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes for one descriptor."""

    resident: float
    allocated: float


def measure(count: int) -> Growth:
    """Ask a new process. Raises: PeerFailed."""
    with Child(__name__, count) as child:
        return Growth(**child.ask("measure"))


def _measure_here(count: int) -> Growth:
    require_files(count)
    process = psutil.Process()
    resident = _growth(count, lambda: int(process.memory_info().rss))
    tracemalloc.start()
    allocated = _growth(count, lambda: tracemalloc.get_traced_memory()[0])
    return Growth(resident / count, allocated / count)


def _growth(count: int, used: Callable[[], int]) -> int:
    with pairs((count + 1) // 2) as made:
        sockets = [each for pair in made for each in pair][:count]
        poller = open_poller()
        # The first registration brings what all share.
        poller.add(sockets[0].fileno(), Interest.READ)
        gc.collect()
        before = used()
        for each in sockets[1:]:
            poller.add(each.fileno(), Interest.READ)
        gc.collect()
        grown = used() - before
        poller.close()
        return grown


if __name__ == "__main__":
    serve(lambda _: asdict(_measure_here(int(sys.argv[1]))))
