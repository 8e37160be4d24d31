"""Threads that use a poller, and the claim about the events that they receive.

The source below is compiled as the backends' is: `self` is the poller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mogpoll.interest import Interest
from tests.mogpoll.explorer.kernels import CLOSED, ORPHAN, READABLE, SILENT, Choice, Files, Kernel
from tests.mogpoll.explorer.machine import Violation

INTERESTS = tuple(Interest)

# Calls of `claim` that are a step of their own: others belong to the step before them.
SHARED = frozenset({"prepare", "decide", "leave", "plan"})

SOURCE = """
def serve(self):
    while True:
        self.turn()

def turn(self):
    number, interest = claim.prepare()
    if number is not None:
        self.add(number, interest)
        return
    event = self.wait()
    number = event[0]
    claim.take(*event)
    interest = claim.decide(number)
    if interest is not None:
        self.rearm(number, interest)
        return
    self.forget(number)
    claim.leave(number)

def receive(self):
    while True:
        event = self.wait()
        claim.take(*event)

def replace(self):
    while True:
        call, interest = claim.plan()
        if call == "add":
            self.add(claim.number, interest)
        elif call == "rearm":
            self.rearm(claim.number, interest)
        elif call == "forget":
            self.forget(claim.number)
        else:
            return
        claim.has_returned(call)
"""

FUNCTIONS = ("serve", "turn", "receive", "replace")


class Claim:
    """What the threads have done to each number, and what may happen to it next."""

    def __init__(self, kernel: Kernel, choice: Choice, numbers: tuple[int, ...]) -> None:
        self.kernel, self._choice, self.numbers = kernel, choice, numbers
        # The state of each number, hashable.
        self.of: dict[int, Any] = {}

    @property
    def files(self) -> Files:
        return self.kernel.files

    def take(self, number: int, readiness: int) -> None:
        """A thread has received an event."""
        raise NotImplementedError

    def is_due(self, number: int) -> int:
        """The interest for which an event is owed, or 0."""
        raise NotImplementedError

    def check_rest(self) -> None:
        for number in self.numbers:
            due = self.is_due(number)
            if due & Interest.WRITE or (due and self.files[number] == READABLE):
                raise Violation(f"descriptor {number} is armed and ready, and no event comes")


class Owners(Claim):
    """Each event has one owner and names a direction that is armed; none is lost; no call fails.

    Any thread opens a number that is closed, and adds it. The receiver of an event owns the
    number: it reads or does not, re-arms for any interest, or forgets; then it closes the number,
    or leaves it open for the next to add.
    """

    UNKNOWN, OWNED, LEAVING = "unknown", "owned", "leaving"

    def __init__(
        self, kernel: Kernel, choice: Choice, numbers: tuple[int, ...], opened: str = SILENT
    ) -> None:
        super().__init__(kernel, choice, numbers)
        self._opened = opened
        for number in numbers:
            self.files[number], self.of[number] = CLOSED, self.UNKNOWN

    def prepare(self) -> tuple[int | None, Interest | None]:
        """Choose to wait, or a number to add; it counts as armed from the call on (n10)."""
        free = [number for number in self.numbers if self.of[number] == self.UNKNOWN]
        waiting: list[tuple[int | None, Interest | None]] = [(None, None)]
        chosen = self._choice.among(
            waiting + [(number, interest) for number in free for interest in INTERESTS]
        )
        number, interest = chosen
        if number is not None:
            if self.files[number] == CLOSED:
                self.files[number] = self._opened
            self.of[number] = interest
        return number, interest

    def take(self, number: int, readiness: int) -> None:
        state = self.of[number]
        if not isinstance(state, Interest):
            raise Violation(f"an event of descriptor {number}, which is {state}")
        if not state & readiness:
            raise Violation(f"an event of descriptor {number} for what it is not armed for")
        self.of[number] = self.OWNED

    def decide(self, number: int) -> Interest | None:
        """Choose what the owner does; from the call of `rearm` on another thread may own it."""
        reads = [False, True] if self.files[number] == READABLE else [False]
        chosen = self._choice.among(
            [None, *((interest, has_read) for interest in INTERESTS for has_read in reads)]
        )
        if chosen is None:
            self.of[number] = self.LEAVING
            return None
        interest, has_read = chosen
        if has_read:
            self.files[number] = SILENT
        self.of[number] = interest
        return Interest(interest)

    def leave(self, number: int) -> None:
        """Close the number, which the next file may get, or leave it open."""
        if self._choice.among([True, False]):
            self.kernel.close(number)
        self.of[number] = self.UNKNOWN

    def is_due(self, number: int) -> int:
        state = self.of[number]
        if self.files[number] == ORPHAN:
            return int(isinstance(state, Interest) and state & Interest.WRITE)
        return state if isinstance(state, Interest) else 0


class Replacing(Claim):
    """One thread re-arms and forgets a number that is armed, and the others receive.

    Each arming is one event at most. When a call has returned, events of armings before it come no
    more. The state is the events that may still come, the last interest, and whether the last
    arming is known to be without its event.
    """

    @property
    def number(self) -> int:
        return self.numbers[0]

    def __init__(self, kernel: Kernel, choice: Choice, numbers: tuple[int, ...]) -> None:
        super().__init__(kernel, choice, numbers)
        self.files[self.number] = SILENT
        self.of[self.number] = (0, None, False)

    def plan(self) -> tuple[str, Interest | None]:
        allowed, interest, _ = self.of[self.number]
        again = "add" if interest is None else "rearm"
        calls: list[tuple[str, Interest | None]] = [("end", None)]
        calls += [(again, each) for each in INTERESTS]
        if interest is not None:
            calls.append(("forget", None))
        call, new = self._choice.among(calls)
        if new is not None:
            self.of[self.number] = (allowed + 1, new, True)
        return call, new

    def take(self, number: int, _readiness: int) -> None:
        allowed, interest, _ = self.of[number]
        if not allowed:
            raise Violation(f"an event of descriptor {number} of an arming that was taken back")
        self.of[number] = (allowed - 1, interest, False)

    def has_returned(self, call: str) -> None:
        allowed, interest, is_certain = self.of[self.number]
        if call == "forget":
            self.of[self.number] = (0, None, False)
        else:
            self.of[self.number] = (min(allowed, 1), interest, is_certain)

    def is_due(self, number: int) -> int:
        allowed, interest, is_certain = self.of[number]
        return int(interest or 0) if allowed and is_certain else 0


def arrivals(claim: Claim) -> Iterator[int]:
    """Yield the numbers for which data may arrive."""
    for number in claim.numbers:
        if claim.files[number] == SILENT:
            yield number
