"""A pool whose methods are steps: its table, its loop, its waker, and epoll's backend."""

from __future__ import annotations

import importlib
import types
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from mogpoll.interest import Interest
from mogpoll.pool.crew import Crew, Worker
from mogpoll.pool.step import Next, Reason
from tests.mogpoll.explorer.function import Function
from tests.mogpoll.explorer.kernels import REFUSED, SILENT, SPENT, Choice, Epoll, Files
from tests.mogpoll.explorer.machine import Blocked, Machine, Violation
from tests.mogpoll.explorer.pool.clients import State, Steps, Task
from tests.mogpoll.explorer.pool.faults import GAPS
from tests.mogpoll.explorer.pool.methods import STEPPED, Rules, clients, methods, source_of
from tests.mogpoll.explorer.search import Shared
from tests.mogpoll.faults import Fault

if TYPE_CHECKING:
    from tests.mogpoll.explorer.pool.subjects import PoolSubject

# No two of these are one number, so that all can be exchanged.
_FIRST_NUMBER, _FIRST_KEY, _WAKER = 100_001, 200_001, 300_001


class _Queue(deque[Any]):
    """Passed to calls, so part of states."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Saved(NamedTuple):
    """A state of what the threads share."""

    entries: tuple[Any, ...]
    files: tuple[Any, ...]
    records: tuple[Any, ...]
    locks: tuple[str, ...]
    registered: tuple[Any, ...]
    armed: tuple[Any, ...]
    arming: tuple[int, ...]
    numbers: tuple[int, ...]
    queue: tuple[Any, ...]
    members: tuple[Any, ...]
    marks: tuple[Any, ...]
    is_waker_set: tuple[bool]


class PoolWorld(Choice):
    """See `search.World`."""

    comes_to_rest = True
    restless = frozenset({"notify", "resume", "add"})

    def __init__(self, subject: PoolSubject, fault: Fault | None) -> None:
        super().__init__()
        self._subject = subject
        self._kernel = Epoll(Files(), self)
        tasks = [
            Task(_FIRST_NUMBER + number, _FIRST_KEY + at)
            for at, number in enumerate(subject.numbers)
        ]
        self.has_twins = subject.numbers == (0, 1)
        self._twins: dict[Any, Any] = {}
        if self.has_twins:
            one, other = tasks
            for part, twin in ((one, other), (one.fd, other.fd), (one.key, other.key)):
                self._twins |= {part: twin, twin: part}
        modules = {module: self._module(module, fault) for module, _ in STEPPED}
        self._poller = self._opened(modules["epoll.py"][1])
        self._loop = self._looping(modules)
        self._table = self._loop.table
        self._table.queue = _Queue()
        self._waker = self._loop.waker
        self._claim = Steps(
            self._kernel,
            self,
            tasks,
            subject.verdicts,
            is_endless=subject.data == "endless",
            is_exact=subject.is_exact,
        )
        self.machine = Machine(self._compiled(modules))
        if not subject.data:
            self._kernel.files |= dict.fromkeys([task.fd for task in tasks], SPENT)
        for task, record in self._claim.of.items():
            if record.state is State.INSIDE:
                self._table.add(task, Interest.READ, None)
        self._kernel.is_refusing = len({*subject.numbers}) < len(subject.numbers)

    def _module(self, name: str, fault: Fault | None) -> tuple[str, dict[str, Any]]:
        """Return the source of a module, and its names."""
        source = source_of(name)
        for change in (*self._subject.gaps, fault):
            if change is not None and change.module == name:
                source = source.replace(change.old, change.new)
        real = importlib.import_module("mogpoll." + name.removesuffix(".py").replace("/", "."))
        made = types.ModuleType(real.__name__)
        exec(compile(source, name, "exec"), made.__dict__)
        names = made.__dict__
        # Identities that are the same in each run.
        names["id"] = lambda task: task.key
        return source, names

    def _opened(self, names: dict[str, Any]) -> Any:
        poller = names["EpollPoller"]()
        poller._epoll.close()
        poller._epoll = self._kernel
        poller._poll, poller._modify = self._kernel.poll, self._kernel.modify
        names |= {"self": poller, "refuse_unpollable": lambda _: None}
        return poller

    def _looping(self, modules: dict[str, tuple[str, dict[str, Any]]]) -> Any:
        wakers, tables, loops = (
            modules[name][1] for name in ("waker.py", "pool/table.py", "pool/loop.py")
        )
        self._kernel.files[_WAKER] = SILENT
        wakers["os"] = types.SimpleNamespace(
            eventfd_write=lambda fd, _: self._kernel.arrive(fd), eventfd_read=self._drain
        )
        wakers["_open_eventfd"] = lambda: (_WAKER, _WAKER)
        wakers["disown_after_fork"] = lambda _: None
        loops |= {"TaskTable": tables["TaskTable"], "BouncingWaker": wakers["BouncingWaker"]}
        loops["log_exception"] = tables["log_exception"] = self._refuse_failure
        tables["time"] = types.SimpleNamespace(sleep=_sleep)
        tables["threading"] = loops["threading"] = types.SimpleNamespace(
            get_ident=lambda: self.machine.running,
            Lock=importlib.import_module("threading").Lock,
        )
        loop = loops["Loop"](self._poller, lambda: None)
        loop.crew = Crew("worker", 1, loop.main)
        worker = Worker()
        loop.crew.workers.append(worker)
        loops |= {"self": loop, "worker": worker, "look_at_once": self._look_at_once}
        tables |= {"self": loop.table, "claim_at_once": _claim_at_once}
        wakers["self"] = loop.waker
        return loop

    def _refuse_failure(self, text: str, task: Task) -> None:
        if self._kernel.files[task.fd] != REFUSED:
            raise Violation(text % task)

    def _look_at_once(self, task: Task) -> Next | None:
        wanted: Next | None = self._table.marks.pop(task.key, None)
        return wanted

    def _drain(self, fd: int) -> None:
        self._kernel.files[fd] = SILENT

    def _compiled(self, modules: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Function]:
        names = {
            "claim": self._claim,
            "NOTIFIED": Next.NOTIFIED,
            "CLOSE": Next.CLOSE,
            "READ": Interest.READ,
            "RESUMED": Reason.RESUMED,
            "worker": modules["pool/loop.py"][1]["worker"],
        }
        subject = self._subject
        rules = Rules(subject.has_comers, Next.PARKED in subject.verdicts, GAPS[1] in subject.gaps)
        made = [
            function.bound(modules[module][1])
            for module, owner in STEPPED
            for function in methods(modules[module][0], module, owner, rules)
        ]
        for function in clients(rules):
            owner = self._loop if function.name == "work" else self._table
            made.append(function.bound(names | {"self": owner}))
        return {function.name: function for function in made}

    def _tables(self) -> Iterator[tuple[str, Any]]:
        yield "entries", self._kernel.entries
        yield "files", self._kernel.files
        yield "records", self._claim.of
        yield "registered", self._poller._registered
        for name in ("armed", "members", "marks"):
            yield name, getattr(self._table, name)

    def load(self, shared: Shared, fresh: int) -> None:
        del fresh
        assert isinstance(shared, Saved)
        for name, table in self._tables():
            table.clear()
            table.update(getattr(shared, name))
        for name in ("arming", "numbers"):
            getattr(self._table, name).clear()
            getattr(self._table, name).update(getattr(shared, name))
        self._table.queue.clear()
        self._table.queue.extend(shared.queue)
        self.machine.locks = set(shared.locks)
        (self._waker._is_set,) = shared.is_waker_set

    def save(self) -> Shared:
        # What the entries of the backend are matters within one step only.
        self._poller._registered |= dict.fromkeys(self._poller._registered)
        return _sorted(
            Saved(
                **{name: tuple(table.items()) for name, table in self._tables()},
                locks=tuple(self.machine.locks),
                arming=tuple(self._table.arming),
                numbers=tuple(self._table.numbers),
                queue=tuple(self._table.queue),
                is_waker_set=(self._waker._is_set,),
            )
        )

    def exchanged(self, value: Any) -> Any:
        if isinstance(value, tuple):
            parts = [self.exchanged(part) for part in value]
            if isinstance(value, Saved):
                return _sorted(Saved._make(parts))
            return value._make(parts) if hasattr(value, "_make") else tuple(parts)
        return self._twins.get(value, value)

    def events(self) -> Iterator[str]:
        before = self.save()
        for task in self._claim.tasks:
            if self._kernel.files[task.fd] == SILENT:
                self._kernel.arrive(task.fd)
                yield f"data arrives for {task}"
                self.load(before, 0)

    def check_rest(self) -> None:
        self._claim.check_rest()
        table = self._table
        alive = {
            task: record for task, record in self._claim.of.items() if record.state is State.INSIDE
        }
        waiting = {task.fd: task for task, record in alive.items() if not record.is_parked}
        # The mark of a parked task is for the step after its resume.
        marks = table.marks.keys() - {task.key for task in alive} | {
            task.key for task in waiting.values() if task.key in table.marks
        }
        if marks or table.arming or table.queue:
            raise Violation(f"left: {marks}, {table.arming}, {table.queue}")
        if table.armed != waiting or set(table.members) != {task.key for task in alive}:
            raise Violation(f"left: {table.armed}, {table.members}")
        if table.numbers != {task.fd for task in alive}:
            raise Violation(f"left: {table.numbers}")


def _sorted(saved: Saved) -> Saved:
    """Return it with its tables in order; the queue has one of its own."""
    parts = [part if part is saved.queue else tuple(sorted(part, key=_key)) for part in saved]
    return Saved._make(parts)


def _key(entry: Any) -> Any:
    first = entry[0] if isinstance(entry, tuple) else entry
    return first.key if isinstance(first, Task) else first


def _claim_at_once(table: Any, fd: int, key: int) -> Task | None:
    task: Task | None = table.armed.pop(fd, None) if key in table.marks else None
    return task


def _sleep(_seconds: float) -> None:
    """The thread looks again when something has changed."""
    raise Blocked
