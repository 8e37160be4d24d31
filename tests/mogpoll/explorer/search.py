"""Plays every order of the steps of all threads, breadth first, and keeps what it has seen.

Threads are alike, so a state does not say which thread is where, and neither which descriptor is
which. Numbers that are drawn are alike,
too: the lowest unused one is drawn, which leaves finitely many states although threads run for
ever. A step depends on what is shared and on its thread only, so each is made once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from tests.mogpoll.explorer.circles import find_circle
from tests.mogpoll.explorer.machine import Blocked, Machine, Serial, Thread, Violation

Shared = tuple[Any, ...]

_BITS = 24
_MASK = (1 << _BITS) - 1


class World(Protocol):
    """What the threads share: the kernel, the tables, and the claim about them."""

    machine: Machine
    # The alternative that a step takes, and how many it has; set before and after a step.
    choice: int
    choices: int
    # Whether there are two descriptors, which are alike.
    has_twins: bool
    # Whether threads come to rest that no others disturb.
    comes_to_rest: bool
    # What those run that disturb, for ever perhaps.
    restless: frozenset[str]

    def load(self, shared: Shared, fresh: int) -> None:
        """Make this the state; `fresh` is the number that is drawn next."""

    def save(self) -> Shared: ...

    def exchanged(self, value: Any) -> Any:
        """Return a state of what is shared, or of a thread, with two descriptors exchanged."""

    def events(self) -> Iterator[str]:
        """Yield what may happen outside of the threads, having made it the state."""

    def check_rest(self) -> None:
        """Check a state in which all threads sleep until something happens.

        **Raises:** `Violation`.
        """


@dataclass(slots=True)
class Outcome:
    """What a search found: states and steps, and a counterexample if there is one."""

    states: int
    steps: int
    seconds: float
    is_complete: bool
    violation: str = ""
    trace: list[str] = field(default_factory=list)


class _Interned:
    """Values by number, with the serials that occur in each."""

    def __init__(self, exchanged: Callable[[Any], Any]) -> None:
        self._numbers: dict[Any, int] = {}
        self._exchanged = exchanged
        self._twins: dict[int, int] = {}
        self.values: list[Any] = []
        self.used: list[int] = []
        self.has_serials = False

    def twin(self, number: int) -> int:
        """Return the number of the value with the two descriptors exchanged."""
        found = self._twins.get(number)
        if found is None:
            found = self._twins[number] = self.number(self._exchanged(self.values[number]))
        return found

    def number(self, value: Any) -> int:
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self.values)
            self.values.append(value)
            self.used.append(_serials_in(value))
            self.has_serials = self.has_serials or bool(self.used[-1])
        return found


class Search:
    """One exploration of `world` by the given threads."""

    def __init__(self, world: World, threads: list[Thread], limit: int | None = None) -> None:
        self._world, self._limit = world, limit
        self._shared, self._threads = _Interned(world.exchanged), _Interned(world.exchanged)
        self._stepped: dict[tuple[int, int, int], list[tuple[int, int]] | bool] = {}
        self._graves: dict[tuple[int, int], int] = {}
        self._happened: dict[tuple[int, int], list[int]] = {}
        self._steps = 0
        self._count = len(threads)
        self._start = self._packed(
            self._shared.number(world.save()), [self._threads.number(one) for one in threads]
        )

    def run(self) -> Outcome:
        began = time.monotonic()
        before: dict[int, int] = {self._start: -1}
        front = [self._start]
        violation, trace, is_complete = "", list[str](), True
        try:
            while front and is_complete:
                following = []
                for state in front:
                    for reached in self._successors(state):
                        if reached not in before:
                            before[reached] = state
                            following.append(reached)
                front = following
                is_complete = not front or self._limit is None or len(before) < self._limit
            self._check_progress()
            circle = self._circle(before) if is_complete and self._world.comes_to_rest else None
            if circle is not None:
                state = circle
                raise Violation("threads go round in circles")
        except Violation as found:
            violation, trace = str(found), self._trace(before, state)
        seconds = time.monotonic() - began
        return Outcome(len(before), self._steps, seconds, is_complete, violation, trace)

    def _packed(self, shared: int, threads: list[int]) -> int:
        """Return a state as a number, the same for states that differ by names only."""
        if not self._world.has_twins and not self._has_serials():
            return _pack(shared, threads)
        alive = self._shared.used[shared]
        threads = [self._buried(number, alive) for number in threads]
        twins = [self._threads.twin(number) for number in threads]
        return min(_pack(shared, threads), _pack(self._shared.twin(shared), twins))

    def _has_serials(self) -> bool:
        return self._shared.has_serials or self._threads.has_serials

    def _buried(self, number: int, alive: int) -> int:
        """Return the thread with the serials that it alone knows made one: they match nothing."""
        dead = self._threads.used[number] & ~alive & ~1
        if not dead:
            return number
        found = self._graves.get((number, dead))
        if found is None:
            thread = _without(self._threads.values[number], dead)
            found = self._graves[number, dead] = self._threads.number(thread)
        return found

    def _unpacked(self, state: int) -> tuple[int, list[int]]:
        threads = []
        for _ in range(self._count):
            threads.append(state & _MASK)
            state >>= _BITS
        return state, threads

    def _successors(self, state: int) -> list[int]:
        shared, threads = self._unpacked(state)
        fresh = self._fresh(shared, threads)
        found, all_wait = [], True
        for position, number in enumerate(threads):
            if position and number == threads[position - 1]:
                continue
            stepped = self._step(shared, number, fresh)
            if isinstance(stepped, bool):
                all_wait = all_wait and stepped
                continue
            others = _but(threads, position)
            found += [self._packed(after, [*others, own]) for after, own in stepped]
        if not found:
            if not all_wait:
                raise Violation("threads wait for a lock for ever")
            self._world.load(self._shared.values[shared], fresh)
            self._world.check_rest()
        found += [self._packed(after, threads) for after in self._events(shared, fresh)]
        self._steps += len(found)
        return found

    def _fresh(self, shared: int, threads: list[int]) -> int:
        if not self._has_serials():
            return 1
        used = self._shared.used[shared]
        for number in threads:
            used |= self._threads.used[number]
        # The lowest bit that is clear; bit 0 stands for no number.
        free = ~(used | 1)
        return (free & -free).bit_length() - 1

    def _step(self, shared: int, number: int, fresh: int) -> list[tuple[int, int]] | bool:
        """Return what a thread may do; if nothing, whether it waits for an event or has ended."""
        key = (shared, number, fresh)
        known = self._stepped.get(key)
        if known is None:
            known = self._stepped[key] = self._make(shared, number, fresh)
        return known

    def _make(self, shared: int, number: int, fresh: int) -> list[tuple[int, int]] | bool:
        world, thread = self._world, self._threads.values[number]
        if not thread:
            return True
        made: list[tuple[int, int]] = []
        choice, choices = 0, 1
        while choice < choices:
            world.load(self._shared.values[shared], fresh)
            world.choice, world.choices = choice, 1
            try:
                after = world.machine.step(thread)
            except Blocked as blocked:
                return blocked.waits
            choices = world.choices
            made.append((self._shared.number(world.save()), self._threads.number(after)))
            choice += 1
        return made

    def _check_progress(self) -> None:
        """Refuse a thread that can go round in circles while nothing that is shared changes."""

        def idle_steps(one: tuple[int, int]) -> list[tuple[int, int]]:
            return [(one[0], own) for after, own in idle.get(one, ()) if after == one[0]]

        idle = {key[:2]: stepped for key, stepped in self._steps_of_workers()}
        found = find_circle(idle, idle_steps)
        if found is not None:
            op = self._world.machine.next_op(self._threads.values[found[1]])
            raise Violation(f"a thread goes round in circles at line {op.line}: {op.text}")

    def _steps_of_workers(self) -> Iterator[tuple[tuple[int, int, int], list[tuple[int, int]]]]:
        for key, stepped in self._stepped.items():
            thread = self._threads.values[key[1]]
            if not isinstance(stepped, bool) and thread[0][0] not in self._world.restless:
                yield key, stepped

    def _circle(self, states: Iterable[int]) -> int | None:
        """Return a state to which threads come back by themselves."""
        workers = dict(self._steps_of_workers())

        def following(state: int) -> Iterator[int]:
            shared, threads = self._unpacked(state)
            fresh = self._fresh(shared, threads)
            for position, number in enumerate(threads):
                for after, own in workers.get((shared, number, fresh), ()):
                    yield self._packed(after, [*_but(threads, position), own])

        return find_circle(states, following)

    def _events(self, shared: int, fresh: int) -> list[int]:
        key = (shared, fresh)
        known = self._happened.get(key)
        if known is None:
            self._world.load(self._shared.values[shared], fresh)
            known = [self._shared.number(self._world.save()) for _ in self._world.events()]
            self._happened[key] = known
        return known

    def _trace(self, before: dict[int, int], state: int) -> list[str]:
        """Return the steps that lead to `state`: which line, of which call."""
        path = [state]
        while (state := before[state]) >= 0:
            path.append(state)
        path.reverse()
        return [self._described(one, other) for one, other in pairwise(path)]

    def _described(self, state: int, reached: int) -> str:
        for number, after in self._single_steps(state):
            if after == reached:
                op = self._world.machine.next_op(self._threads.values[number])
                return f"thread at line {op.line}: {op.text}"
        return "data arrives"

    def _single_steps(self, state: int) -> Iterator[tuple[int, int]]:
        """Yield the thread and the state after each step of a thread that was made before."""
        shared, threads = self._unpacked(state)
        fresh = self._fresh(shared, threads)
        for position, number in enumerate(threads):
            stepped = self._stepped.get((shared, number, fresh))
            for after, own in stepped if isinstance(stepped, list) else ():
                yield number, self._packed(after, [*_but(threads, position), own])


def _but(threads: list[int], position: int) -> list[int]:
    return threads[:position] + threads[position + 1 :]


def _pack(shared: int, threads: list[int]) -> int:
    packed = shared
    for number in sorted(threads):
        packed = packed << _BITS | number
    return packed


def _without(value: Any, dead: int) -> Any:
    """Return the value with the serials of that set replaced, but for their lowest bit."""
    if isinstance(value, Serial):
        return Serial(value & 1) if dead >> (value >> 1) & 1 else value
    if isinstance(value, tuple):
        parts = [_without(part, dead) for part in value]
        return value._make(parts) if hasattr(value, "_make") else tuple(parts)
    return value


def _serials_in(value: Any) -> int:
    if isinstance(value, Serial):
        return 1 << (value >> 1)
    if isinstance(value, tuple | frozenset):
        found = 0
        for part in value:
            found |= _serials_in(part)
        return found
    return 0
