"""A ball for each of many pairs of sockets, bounced by one or many threads as fast as they can."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.poller.contenders import Asyncio, Contender, Selectors, Switch, bare, bare_name, mogpoll
from bench.poller.cycle import pairs

PAIRS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender, and with how many threads it plays."""

    make: Callable[[], Contender]
    name: str
    threads: int

    def __str__(self) -> str:
        return f"{self.name}, {self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Score:
    events: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Processor time of all threads for one event."""
        return self.cpu_s * 1e6 / self.events


Playing = Callable[[float], Score]


def entries(many: int) -> list[Entry]:
    """mogpoll and the bare queue with one thread and with many; the others know one only."""
    shared = [(mogpoll, "mogpoll"), (bare, bare_name())]
    return [
        *(Entry(make, name, threads) for threads in (1, many) for make, name in shared),
        Entry(Selectors, "selectors", 1),
        Entry(Asyncio, "asyncio", 1),
    ]


def play(entry: Entry, seconds: float, count: int = PAIRS) -> Score:
    """Play on new pairs for so long."""
    with pairs(count) as made:
        contender = entry.make()
        try:
            contender.add([each.fileno() for pair in made for each in pair])
            for one, _ in made:
                one.send(b"x")
            return _timed(contender, entry.threads, seconds)
        finally:
            contender.close()


def _timed(contender: Contender, threads: int, seconds: float) -> Score:
    switch = Switch()
    events: list[int] = []
    # As many balls as pairs are always in the air: no thread sleeps for ever.
    players = [
        threading.Thread(target=lambda: events.append(contender.bounce(switch)))
        for _ in range(threads)
    ]
    began, cpu_began = time.monotonic(), time.process_time()
    try:
        for player in players:
            player.start()
        time.sleep(seconds)
    finally:
        switch.over = True
        for player in players:
            if player.ident is not None:
                player.join()
    ended, cpu_ended = time.monotonic(), time.process_time()
    return Score(sum(events), ended - began, cpu_ended - cpu_began)
