"""Kill a node under load thousands of times, and look at what it has acknowledged.

On a file system of Linux, where a file gets its name when it is complete, and on one of our own
behind FUSE, where it has a temporary name until then.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import psutil

from bench.bad_disk.control import mounted
from mogstored.files import leftovers
from tests.crash.history import Change, Name, Verdict, digest_of
from tests.crash.load import operations, request_of
from tests.crash.nursery import Nursery
from tests.crash.table import Table
from tests.support.http import Client
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.crash.load import Names

CLIENTS = 4
FORMS = {"single": (), "workers": ("--worker-processes=2",)}
DISKS = ("system", "fuse")
_VERDICTS = tuple(verdict.value for verdict in Verdict if verdict is not Verdict.RIGHT)
HEADINGS = (
    *("disk", "node", "kills", "per second", "acknowledged", "under way"),
    *(*_VERDICTS, "left-overs"),
)


class Workload:
    """Clients that go on when the node is killed, each after a look at what it has stored.

    **Threads:** each has its own files; the counters are changed with `_lock`.
    """

    def __init__(self, addr: tuple[str, int], disk: Path, seed: int) -> None:
        self._addr = addr
        self._disk = disk
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self.found: Counter[str] = Counter()
        self.acknowledged = 0
        self.under_way = 0
        """How many requests have had no answer."""
        self.errors: list[str] = []
        self._all: list[Names] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(number, seed))
            for number in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop when what is under way is answered, and judge all files."""
        self._ends.set()
        for thread in self._threads:
            thread.join()
        for names in self._all:
            self._check(names, set(names))

    def has_reached(self, acknowledged: int) -> bool:
        """Say whether so many requests were answered, or the load has failed."""
        return self.acknowledged >= acknowledged or bool(self.errors)

    def _guarded(self, number: int, seed: int) -> None:
        try:
            self._run(number, seed)
        except Exception as error:
            self.errors.append(repr(error))

    def _run(self, number: int, seed: int) -> None:
        names: Names = {}
        self._all.append(names)
        work = operations(Random(f"{seed} {number}"), number)
        changed: set[str] = set()
        while not self._ends.is_set():
            try:
                with Client(self._addr) as client:
                    while not self._ends.is_set():
                        path, content = next(work)
                        changed.add(path)
                        self._change(client, names.setdefault(path, Name()), path, content)
            except TimeoutError:
                raise
            except (OSError, AssertionError):
                # The node is gone, and all that it did is done.
                self.under_way += 1
                self._check(names, changed)
                changed.clear()

    def _change(self, client: Client, name: Name, path: str, content: bytes | None) -> None:
        request, expected = request_of(path, content)
        change = name.begin(None if content is None else digest_of(content), 0)
        status = client.request(request).status
        # A file whose PUT was under way need not be there.
        if status == expected or (content is None and status == 404):
            change.answered = 0
            with self._lock:
                self.acknowledged += 1
        else:
            self.errors.append(f"{path}: {status}")

    def _check(self, names: Names, paths: set[str]) -> None:
        for path in paths:
            found = _digest(self._disk / path)
            verdict = names[path].judge(found, 0)
            if verdict is not Verdict.RIGHT:
                with self._lock:
                    self.found[verdict.value] += 1
                self.errors.append(f"{verdict.value}: {path}: {names[path].changes}")
            # What is there now has to stay.
            names[path].changes = [Change(found, 0, 0)]


def _digest(path: Path) -> str | None:
    try:
        return digest_of(path.read_bytes())
    except FileNotFoundError:
        return None


@dataclass(slots=True)
class Result:
    """What the kills of one kind of node have left."""

    disk: str
    form: str
    kills: int
    taken_s: float = 0.0
    acknowledged: int = 0
    under_way: int = 0
    found: Counter[str] = field(default_factory=Counter)
    leftovers: int = 0
    errors: list[str] = field(default_factory=list)

    def row(self) -> list[object]:
        own = [self.disk, self.form, self.kills, f"{self.kills / self.taken_s:.1f}"]
        counts = [self.found[name] for name in _VERDICTS]
        return [*own, self.acknowledged, self.under_way, *counts, self.leftovers]

    def is_right(self) -> bool:
        return not self.found.total() and not self.errors


def try_out(
    disk: str, form: str, *, kills: int, seed: int, level: str = "none", injected: str = ""
) -> Result:
    """Kill a node so often. **Raises:** `CannotMount`."""
    result = Result(disk, form, kills)
    draw = Random(f"{seed} {disk} {form}")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mog-kills-")))
        device = scratch / "disk"
        if disk == "fuse":
            stack.enter_context(mounted(device))
        else:
            device.mkdir()
        docroot = scratch / "docroot"
        docroot.mkdir()
        (docroot / "dev1").symlink_to(device)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        addr = listener.getsockname()
        options = [f"--docroot={docroot}", f"--httplisten={addr[0]}:{addr[1]}"]
        options += [f"--durability={level}", *FORMS[form]]
        log = scratch / "log"
        nursery = Nursery(listener, log, options, injected)
        stack.callback(nursery.close)
        load = Workload(addr, device, seed)
        began = time.monotonic()
        try:
            _kill_often(nursery, load, kills, draw)
            result.taken_s = time.monotonic() - began
            nursery.start()
        finally:
            load.end()
        nursery.kill()
        result.acknowledged, result.under_way = load.acknowledged, load.under_way
        result.found, result.errors = load.found, load.errors
        result.leftovers = _count_leftovers(device)
        if "Traceback" in (lines := log.read_text()):
            result.errors.append(lines[-2000:])
    return result


def _kill_often(nursery: Nursery, load: Workload, kills: int, draw: Random) -> None:
    killed = 0
    while killed < kills:
        node = nursery.start()
        while True:
            due = load.acknowledged + draw.randint(1, 20)
            wait_until(partial(load.has_reached, due), f"{due} requests are answered")
            time.sleep(draw.uniform(0.0, 0.004))
            killed += 1
            # A worker process alone, as long as there are others.
            workers = psutil.Process(node).children()
            if len(workers) < 2 or draw.random() < 0.7:
                break
            draw.choice(workers).send_signal(signal.SIGKILL)
        nursery.kill()


def _count_leftovers(disk: Path) -> int:
    files = (name for _, _, names in os.walk(disk) for name in names)
    return sum(leftovers.is_temporary(os.fsencode(name)) for name in files)


def prove(levels: Sequence[str], count: int, seed: int) -> bool:
    """Kill each form of a node on each disk `count` times; say whether all is right."""
    table = Table(HEADINGS)
    is_right = True
    for disk in DISKS:
        for form in FORMS:
            result = try_out(disk, form, kills=count, seed=seed, level=levels[0])
            table.add(result.row())
            is_right &= result.is_right()
            for error in result.errors[:5]:
                print(f"  {error[:300]}", flush=True)
    return is_right
