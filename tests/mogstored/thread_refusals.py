"""Refuse a node each of its threads, in each part of its life, and report the outcome.

    python -m tests.mogstored.thread_refusals

prints the outcome of each refusal, and of memory refused to the pool. A thread that is
started in a new place need not be named here: a life without refusals shows which
threads are started, and in which part.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import signal
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mogpoll import open_poller
from tests.mogpoll.pool.shortage import POINTS, Shortage, try_out
from tests.support.daemon import Node
from tests.support.http import ask, compose
from tests.support.processes import is_gone
from tests.support.puts import md5_of, put
from tests.support.refusals import Refusals
from tests.support.sidechannel import manage
from tests.support.sockets import descriptor_count, thread_count
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = ("start", "run", "upgrade", "stop")
# Few threads, so that there are few points; a second part that grows the pool.
_OPTIONS = ("--aio-threads=1", "--stop-timeout=20")
# Have a thread each, as has the admin listener.
_MORE = ("--access-log=/dev/null", "--client-header-timeout=60")
_LARGE = os.urandom(4 << 20)


@dataclass(frozen=True)
class Point:
    """A thread: the part of a life that starts it, and its number there, from 0."""

    part: str
    offset: int
    name: str


class Life:
    """The use of a node between its start and its end."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def use(self) -> None:
        """Send every request that may start a thread, and check the answers."""
        node = self._node
        fields = (f"Content-MD5: {md5_of(_LARGE)}",)
        assert ask(node.http, put("/dev1/large.fid", _LARGE, *fields)).status == 201
        assert ask(node.http, compose("GET", "/dev1/large.fid")).body == _LARGE
        assert ask(node.http, compose("GET", "/dev1/usage")).status == 200
        # Refused, and lingered with.
        assert ask(node.http, b"BAD\r\n\r\n").status == 400
        with manage(node) as manager:
            assert manager.ask(b"server aio_threads = 3") == b"\r\n"
            digest = hashlib.md5(_LARGE, usedforsecurity=False).hexdigest()
            assert manager.ask(b"MD5 /dev1/large.fid").endswith(f"={digest}\r\n".encode())
            manager.send(b"watch\r\n")

    def upgrade(self) -> str | None:
        """Upgrade, and go back; return the last line of a new process that did not serve."""
        node, before = self._node, len(self._upgrades("started:"))
        node.send_signal(signal.SIGUSR2)
        wait_until(lambda: len(self._upgrades("started:")) > before, "an upgrade has begun")
        new = self._upgrades("started:")[-1]
        wait_until(lambda: is_gone(new) or self._said(new, "ready$"), "it serves or has ended")
        serves = self._said(new, "ready$")
        if serves:
            os.kill(new, signal.SIGTERM)
        wait_until(lambda: new in self._upgrades("ended:"), "the old one goes on alone")
        return None if serves else self._said(new, "")[-1]

    def counts(self) -> tuple[int, int]:
        """Return how many threads and descriptors the node has."""
        return thread_count(self._node.pid), descriptor_count(self._node.pid)

    def _upgrades(self, words: str) -> list[int]:
        found = (re.search(f"upgrade {words} process ([0-9]+)", x) for x in self._lines())
        return [int(each[1]) for each in found if each]

    def _said(self, pid: int, pattern: str) -> list[str]:
        return [x for x in self._lines() if re.search(rf"\[{pid}\]: {pattern}", x)]

    def _lines(self) -> list[str]:
        return self._node.stderr_lines()


class Trial:
    """Lives of nodes that are refused threads; `folder` is empty at first."""

    def __init__(self, folder: Path, *extra: str) -> None:
        self._refusals = Refusals(folder)
        self._extra = (*_OPTIONS, *_MORE, *extra)
        self._counts = (0, 0)

    def points(self) -> list[Point]:
        """Live without refusals; return the threads that were started."""
        ends = []
        with self._node() as node:
            life = Life(node)
            ends.append(self._asked())
            life.use()
            wait_until(lambda: _is_settled(life), "nothing is started or ended any more")
            self._counts = life.counts()
            ends.append(self._asked())
            assert life.upgrade() is None
            ends.append(self._asked())
            assert node.stop() == 0
            ends.append(self._asked())
        names = self._refusals.asked_for()[-ends[-1] :]
        begins = [0, *ends[:-1]]
        return [
            Point(part, offset, names[begin + offset])
            for part, begin, end in zip(PARTS, begins, ends, strict=True)
            for offset in range(end - begin)
        ]

    def outcome(self, point: Point) -> str:
        """Live with that refusal and all after it in its part; return the outcome.

        Then the refusal is lifted: everything works, nothing is left behind, the stop ends.
        """
        if point.part == "start":
            return self._refused_start(point)
        with self._node() as node:
            life = Life(node)
            if point.part == "run":
                with self._refused(point):
                    life.use()
                said = "all is answered"
            life.use()
            if point.part == "upgrade":
                with self._refused(point):
                    line = life.upgrade()
                said = "upgraded" if line is None else f"the old one goes on; {_short(line)}"
                assert life.upgrade() is None
            if point.part == "stop":
                with self._refused(point):
                    assert node.stop() == 0
                return "status 0"
            life.use()
            wait_until(lambda: life.counts() == self._counts, f"{self._counts} of both are left")
        return f"{said}; afterwards as ever, stop with status 0"

    def _refused_start(self, point: Point) -> str:
        node = self._node(checked=False)
        with self._refused(point):
            try:
                with node:
                    raise RuntimeError("it serves without a thread that it needs")
            except AssertionError:
                # It did not become ready.
                status = node.wait()
        lines = node.stderr_lines()
        assert status == 1
        assert not any("Traceback" in line for line in lines), lines
        (said,) = (line for line in lines if "cannot serve: no thread for " in line)
        return f"status 1; {_short(said)}"

    @contextmanager
    def _refused(self, point: Point) -> Iterator[None]:
        self._refusals.refuse_from(self._asked() + point.offset)
        try:
            yield
        finally:
            self._refusals.lift()

    def _asked(self) -> int:
        return len(self._refusals.asked_for())

    def _node(self, *, checked: bool = True) -> Node:
        environment = self._refusals.environment
        return Node(mgmt=True, admin=True, extra=self._extra, env=environment, checked=checked)


def _short(line: str) -> str:
    return line.partition("]: ")[2].partition("; raise")[0]


def _is_settled(life: Life) -> bool:
    """Return whether the counts are the same ten times."""
    seen = set()
    for _ in range(10):
        seen.add(life.counts())
        time.sleep(0.05)
    return len(seen) == 1


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="refusals-") as folder:
        trial = Trial(Path(folder))
        for point in trial.points():
            print(f"{point.part:8} {point.name:15} {trial.outcome(point)}", flush=True)
    for name in POINTS:
        for row in (1, 3):
            poller = open_poller()
            logging.disable()
            closed, kept = try_out(poller, Shortage(name, 1, row))
            poller.close()
            said = f"{closed} of {closed + kept} tasks closed; all threads serve, the stop ends"
            print(f"memory   {f'{name}, {row}x':27} {said}", flush=True)


if __name__ == "__main__":
    main()
