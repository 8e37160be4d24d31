"""What is explored: a backend's source, the threads that use it, and the claim."""

from __future__ import annotations

import ast
import errno
import importlib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mogpoll
from tests.mogpoll.explorer import clients
from tests.mogpoll.explorer.clients import Claim, Owners, Replacing
from tests.mogpoll.explorer.function import Function
from tests.mogpoll.explorer.kernels import (
    ORPHAN,
    SILENT,
    Choice,
    Epoll,
    Files,
    Kernel,
    Knote,
    Kqueue,
)
from tests.mogpoll.explorer.machine import Machine, Serial
from tests.mogpoll.explorer.program import Compiler, methods_of
from tests.mogpoll.explorer.search import Outcome, Search, Shared
from tests.mogpoll.faults import Fault

# No other number in a state is one of these, so that the two can be exchanged.
NUMBERS = (100_001, 100_002)

_PACKAGE = Path(mogpoll.__file__).parent
_CALLS = ("add", "rearm", "forget", "wait")
# The methods that are made of steps, and what makes a step, for each backend.
STEPPED = {
    "kqueue.py": frozenset({*_CALLS, "_arm", "_arm_hangup", "_draw_serial"}),
    "epoll.py": frozenset(_CALLS),
}
_SHARED = {
    # `_registered` and `_serial` are used under the lock only; `add` looks before, for its own
    # number.
    "kqueue.py": frozenset({"_armed", "_control"}),
    "epoll.py": frozenset({"_registered", "_poll", "_modify", "register", "unregister"}),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A backend, a claim, and threads by the function that each runs.

    `opened` is what a number stands for when it is opened; `refusal` the error number of WRITE
    for a pipe without a reader.
    """

    name: str
    module: str
    threads: tuple[str, ...]
    descriptors: int = 1
    opened: str = SILENT
    refusal: int = errno.EPIPE

    def explore(self, fault: Fault | None = None, limit: int | None = None) -> Outcome:
        """Play all interleavings, until `limit` states are known; with a fault in the source."""
        world = PollerWorld(self, fault)
        threads = [world.machine.start(name) for name in self.threads]
        return Search(world, threads, limit).run()


_REPLACING = ("replace", "receive", "receive")


def _serving(count: int) -> tuple[str, ...]:
    return ("serve",) * count


# Those of each backend in the order of their size.
QUICK = (
    Subject("epoll: replaced armings, 3 threads", "epoll.py", _REPLACING),
    Subject("epoll: 2 descriptors, 3 threads", "epoll.py", _serving(3), 2),
    Subject("kqueue: pipe without a reader, 3 threads", "kqueue.py", _serving(3), 1, ORPHAN),
    Subject(
        "kqueue: pipe without a reader on NetBSD, 3 threads",
        "kqueue.py",
        _serving(3),
        opened=ORPHAN,
        refusal=errno.EBADF,
    ),
    Subject("kqueue: 1 descriptor, 3 threads", "kqueue.py", _serving(3)),
    Subject("kqueue: replaced armings, 3 threads", "kqueue.py", _REPLACING),
)
FULL = (
    Subject("epoll: 2 descriptors, 4 threads", "epoll.py", _serving(4), 2),
    Subject("kqueue: 2 descriptors, 2 threads", "kqueue.py", _serving(2), 2),
    Subject("kqueue: 2 descriptors, 3 threads", "kqueue.py", _serving(3), 2),
)


class PollerWorld(Choice):
    """A poller whose methods are steps; see `search.World`."""

    comes_to_rest = False
    restless = frozenset[str]()

    def __init__(self, subject: Subject, fault: Fault | None) -> None:
        super().__init__()
        source = (_PACKAGE / subject.module).read_text(encoding="utf-8")
        if fault is not None:
            source = source.replace(fault.old, fault.new)
        names = _names_of(source, subject.module)
        files = Files()
        kernel: Kernel
        if subject.module == "kqueue.py":
            kernel = api = Kqueue(files, self, subject.refusal)
            self._poller = names["KqueuePoller"](api)
            self._tables = [self._poller._registered, self._poller._armed]
        else:
            kernel = epoll = Epoll(files, self)
            self._poller = names["EpollPoller"]()
            self._poller._epoll.close()
            self._poller._epoll = epoll
            self._poller._poll, self._poller._modify = epoll.poll, epoll.modify
            self._tables = [self._poller._registered]
        self._kernel = kernel
        numbers = NUMBERS[: subject.descriptors]
        self.has_twins = len(numbers) > 1
        self._claim: Claim
        if "replace" in subject.threads:
            self._claim = Replacing(kernel, self, numbers)
        else:
            self._claim = Owners(kernel, self, numbers, subject.opened)
        self._fresh = 1
        self._poller._serial = self._base = Serial(0)
        # An object that is only compared by identity is a number here.
        names |= {"self": self._poller, "claim": self._claim, "object": self._draw}
        names |= {"refuse_unpollable": lambda _: None, "is_pipe": lambda fd: files[fd] == ORPHAN}
        self.machine = Machine(_compiled(source, subject.module, names))

    def _draw(self) -> Serial:
        return Serial(2 * self._fresh)

    def load(self, shared: Shared, fresh: int) -> None:
        entries, files, claimed, locks, drawn, *tables = shared
        self._fresh = fresh
        self._base = Serial(2 * fresh - 2)
        self._poller._serial = drawn or self._base
        parts: list[dict[Any, Any]] = [self._kernel.entries, self._kernel.files, self._claim.of]
        for table, content in zip(
            [*parts, *self._tables], [entries, files, claimed, *tables], strict=True
        ):
            table.clear()
            table.update(content)
        self.machine.locks = set(locks)

    def save(self) -> Shared:
        # The counter matters between its change and its use, under the lock, and not afterwards.
        serial = self._poller._serial if self.machine.locks else None
        known = {part for table in self._tables for pair in table.items() for part in pair}
        entries = [(key, _forgotten(entry, known)) for key, entry in self._kernel.entries.items()]
        return (
            tuple(sorted(entries)),
            tuple(sorted(self._kernel.files.items())),
            tuple(sorted(self._claim.of.items())),
            tuple(self.machine.locks),
            None if serial is self._base else serial,
            *(tuple(sorted(table.items())) for table in self._tables),
        )

    def exchanged(self, value: Any, depth: int = 0) -> Any:
        """Return a state, or a part of it, with the two descriptors exchanged."""
        if isinstance(value, tuple):
            parts = [self.exchanged(part, depth + 1) for part in value]
            if depth == 1 and len(parts) > 1 and all(type(part) is tuple for part in parts):
                # A table of what is shared, or the locals of a thread: sorted both.
                parts.sort(key=lambda part: part[0])
            return value._make(parts) if hasattr(value, "_make") else tuple(parts)
        if value in NUMBERS and not isinstance(value, Serial):
            return NUMBERS[1 - NUMBERS.index(value)]
        return value

    def events(self) -> Iterator[str]:
        before = self.save()
        for number in list(clients.arrivals(self._claim)):
            self._kernel.arrive(number)
            yield f"data arrives for {number}"
            self.load(before, self._fresh)

    def check_rest(self) -> None:
        self._claim.check_rest()


def _forgotten(entry: Any, known: set[Any]) -> Any:
    """Return a knote without the serial that no table has any more: its event is dropped."""
    if not isinstance(entry, Knote) or not isinstance(entry.udata, Serial) or entry.udata in known:
        return entry
    return entry._replace(udata=Serial(entry.udata & 1))


def _names_of(source: str, module: str) -> dict[str, Any]:
    """Run the source as a module of the package; return its names."""
    real = importlib.import_module(f"mogpoll.{module.removesuffix('.py')}")
    made = types.ModuleType(real.__name__)
    exec(compile(source, module, "exec"), made.__dict__)
    return made.__dict__


def _compiled(source: str, module: str, names: dict[str, Any]) -> dict[str, Function]:
    own = {f"self.{name}": name for name in (*STEPPED[module], *clients.FUNCTIONS)}
    compiler = Compiler(_SHARED[module] | clients.SHARED, own)
    nodes = [
        *methods_of(ast.parse(source), STEPPED[module]),
        *methods_of(ast.parse(clients.SOURCE), clients.FUNCTIONS),
    ]
    return {node.name: compiler.compile(node, names) for node in nodes}


def listing() -> str:
    """Return the steps of the backends: at each line given begins one, with what follows it."""
    lines = []
    for module, stepped in STEPPED.items():
        source = (_PACKAGE / module).read_text(encoding="utf-8")
        compiled = _compiled(source, module, _names_of(source, module))
        for name in sorted(stepped):
            lines.append(f"mogpoll/{module}, {name}:")
            lines += [f"  {op.line:4}  {op.text}" for op in compiled[name].ops if op.is_shared]
    return "\n".join(lines) + "\n"
