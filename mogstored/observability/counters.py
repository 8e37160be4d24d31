"""The counters of a process: plain numbers of each thread, added up when they are asked for.

A thread counts in tables of its own, without a lock, and nothing is lost where threads run at
the same time. What happens seldom, or outside of worker threads, is counted under a lock. A
thread that ends leaves its tables to the next one that starts, so that there are never more
of them than threads at one time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter

from mogstored.observability.histogram import HTTP_BOUNDS_S, HistogramState

METHODS = ("GET", "HEAD", "PUT", "DELETE", "MKCOL", "other")
# nginx's number for a request whose client has left before its answer was decided.
CLIENT_LOST = 499

# A cell has a count for each bucket, and the sum of the seconds.
Cell = list[float]
FIRST_BOUND_S = HTTP_BOUNDS_S[0]
_EMPTY: Cell = [*([0] * (len(HTTP_BOUNDS_S) + 1)), 0.0]


class ThreadCounters:
    """What one thread counts; `cells` are by the method's bytes and the status.

    **Threads:** one writes; others copy tables and cells, and read numbers, by single operations.
    """

    __slots__ = ("cells", "commands", "received", "sent")

    def __init__(self) -> None:
        # They grow: most threads meet few kinds of requests.
        self.cells: dict[bytes, dict[int, Cell]] = {name.encode(): {} for name in METHODS}
        self.commands: dict[str, int] = {}
        self.received = 0
        self.sent = 0

    def new_cell(self, method: bytes, status: int) -> Cell:
        """Return the cell of the first such request."""
        return self.cells[method].setdefault(status, _EMPTY.copy())

    def note_command(self, name: str) -> None:
        """Count a command of the sidechannel."""
        self.commands[name] = self.commands.get(name, 0) + 1


def bucket_of(seconds: float) -> int:
    """Return the index of the bucket for a duration."""
    return bisect_left(HTTP_BOUNDS_S, seconds)


class Counters:
    """All counters of a process.

    **Threads:** any. `_lock` guards the list of tables, `_rest` and `_md5_mismatches`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: list[tuple[threading.Thread, ThreadCounters]] = []
        self._rest = ThreadCounters()
        self._md5_mismatches = 0

    def of_thread(self) -> ThreadCounters:
        """Return the tables of the calling thread; it goes on with those of one that has ended."""
        current = threading.current_thread()
        with self._lock:
            for index, (thread, tables) in enumerate(self._tables):
                if thread is current or not thread.is_alive():
                    self._tables[index] = current, tables
                    return tables
            tables = ThreadCounters()
            self._tables.append((current, tables))
            return tables

    def note_lost_request(self, method: bytes, status: int, seconds: float) -> None:
        """Count a request whose connection has ended before its answer was sent."""
        with self._lock:
            cell = self._rest.new_cell(method, status)
            cell[bucket_of(seconds)] += 1
            cell[-1] += seconds

    def note_sent(self, size: int) -> None:
        """Count bytes that were sent outside of a step, or in one that failed."""
        with self._lock:
            self._rest.sent += size

    def note_md5_mismatch(self) -> None:
        """Count a body without the digest that its request promised."""
        with self._lock:
            self._md5_mismatches += 1

    @property
    def md5_mismatches(self) -> int:
        return self._md5_mismatches

    def requests(self) -> tuple[dict[str, dict[int, int]], dict[str, HistogramState]]:
        """Return the requests by method and status, and their durations by method."""
        requests: dict[str, dict[int, int]] = {}
        durations: dict[str, HistogramState] = {}
        for tables in self._all():
            for method, cells in tables.cells.items():
                name = method.decode("ascii")
                # A copy is one operation; a loop would see the table grow.
                for status, cell in cells.copy().items():
                    *counts, seconds = cell.copy()
                    state = HistogramState(tuple(map(int, counts)), seconds)
                    statuses = requests.setdefault(name, {})
                    statuses[status] = statuses.get(status, 0) + state.total
                    before = durations.get(name)
                    durations[name] = state if before is None else before.plus(state)
        return requests, durations

    def commands(self) -> dict[str, int]:
        """Return the commands of the sidechannel by name."""
        names: Counter[str] = Counter()
        for tables in self._all():
            names.update(tables.commands.copy())
        return dict(names)

    def transferred(self) -> tuple[int, int]:
        """Return the bytes received and sent over HTTP."""
        tables = self._all()
        return sum(each.received for each in tables), sum(each.sent for each in tables)

    def _all(self) -> list[ThreadCounters]:
        with self._lock:
            return [*(tables for _, tables in self._tables), self._rest]
