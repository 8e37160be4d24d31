"""Many threads, counted exactly: every arming is told of once, or replaced, or forgotten.

The threads are halted between rounds (see `HaltingCrowd`). A number is given to another file
only then: before that, an event of the file that had it may still be on its way.
"""

from __future__ import annotations

import itertools
import socket
from collections import Counter
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll.conformance.crowds import HaltingCrowd
from tests.mogpoll.conformance.looks import BOTH, INTERESTS, READ, WRITE, told
from tests.support.sockets import drain
from tests.support.threads import run_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mogpoll import Event, Interest, Poller
    from tests.mogpoll.conformance.looks import Pair

pytestmark = pytest.mark.usefixtures("restless")

# What is done to a descriptor in one go: an interest arms it, None forgets it. The last arming
# is for a direction that none before it was for, so that its event cannot be taken for theirs.
Script = tuple["Interest | None", ...]
SCRIPTS: tuple[Script, ...] = (
    (READ,),
    (READ, WRITE),
    (WRITE, READ),
    (BOTH,),
    (WRITE, None, READ),
    (READ, None, READ, WRITE),
    (WRITE,),
    (READ, WRITE, None),
    (BOTH, None),
    (WRITE,),
)


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """A hundred pairs of sockets."""
    made = [socket.socketpair() for _ in range(100)]
    yield made
    for end in itertools.chain(*made):
        end.close()


def perform(poller: Poller, fd: int, script: Script) -> None:
    registered = False
    for interest in script:
        if interest is None:
            poller.forget(fd)
        elif registered:
            poller.rearm(fd, interest)
        else:
            poller.add(fd, interest)
        registered = interest is not None


def check(script: Script, events: Sequence[Event]) -> None:
    """Each event is of another arming, whose direction it names; the last one has its own."""
    armings = [interest for interest in script if interest is not None]
    assert len(events) <= len(armings)
    for direction in (READ, WRITE):
        of_no_other = [event for event in events if not event.readiness & ~direction & BOTH]
        assert len(of_no_other) <= sum(bool(arming & direction) for arming in armings)
    if script[-1] is not None:
        assert any(event.readiness & script[-1] for event in events), "the last is not told"


def test_n10_add_rearm_and_forget_race_with_many_waits(poller: Poller, pairs: list[Pair]) -> None:
    for _, far in pairs:
        far.send(b"a")
    fds = [near.fileno() for near, _ in pairs]
    crowd = HaltingCrowd(poller)

    def churn(scripts: dict[int, Script]) -> None:
        for fd, script in scripts.items():
            perform(poller, fd, script)

    def play_round(number: int) -> None:
        scripts = {fd: SCRIPTS[(fd + number) % len(SCRIPTS)] for fd in fds}
        shares = [{fd: scripts[fd] for fd in fds[start::4]} for start in range(4)]
        run_all([partial(churn, share) for share in shares])
        with crowd.halted() as events:
            for fd, script in scripts.items():
                check(script, events.pop(fd, []))
                if script[-1] is not None:
                    poller.forget(fd)
            assert events == {}

    crowd.play_rounds(play_round)
    assert told(poller) == []


def test_forget_while_an_event_arrives(poller: Poller, pairs: list[Pair]) -> None:
    """Told or not, but never twice; what is armed again meanwhile is told, and all is later."""
    crowd = HaltingCrowd(poller)
    fds = [near.fileno() for near, _ in pairs]
    # What is done while the data arrive: forgotten, armed again, or nothing.
    meanwhile = {fd: ((None,), (READ,), (), (None, READ))[n % 4] for n, fd in enumerate(fds)}

    def receive(together: Barrier) -> None:
        for fd, steps in meanwhile.items():
            together.wait(20)
            for interest in steps:
                if interest is None:
                    poller.forget(fd)
                elif None in steps:
                    poller.add(fd, interest)
                else:
                    poller.rearm(fd, interest)

    def send(together: Barrier) -> None:
        for _, far in pairs:
            together.wait(20)
            far.send(b"a")

    def play_round(_number: int) -> None:
        for fd in fds:
            poller.add(fd, READ)
        together = Barrier(2)
        run_all([partial(receive, together), partial(send, together)])
        with crowd.halted() as events:
            for fd, steps in meanwhile.items():
                check((READ, *steps), events.pop(fd, []))
            assert events == {}
        for fd, steps in meanwhile.items():
            arm = poller.add if steps == (None,) else poller.rearm
            arm(fd, READ)
        with crowd.halted() as events:
            assert {fd: len(found) for fd, found in events.items()} == dict.fromkeys(fds, 1)
            for fd, (near, _) in zip(fds, pairs, strict=True):
                poller.forget(fd)
                drain(near)

    crowd.play_rounds(play_round)
    assert told(poller) == []


class Generations:
    """Files that are armed and ready, and those that have their numbers next."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller

    def open(self, count: int) -> list[Pair]:
        return [socket.socketpair() for _ in range(count)]

    def close(self, pairs: list[Pair]) -> None:
        for end in itertools.chain(*pairs):
            end.close()

    def arm(self, pairs: list[Pair]) -> None:
        for number, (near, far) in enumerate(pairs):
            far.send(b"a")
            self._poller.add(near.fileno(), INTERESTS[number % 3])

    def forget(self, pairs: list[Pair]) -> None:
        for near, _ in pairs:
            self._poller.forget(near.fileno())

    def close_and_forget(self, pairs: list[Pair]) -> None:
        """A number that was closed first counts as registered until it is forgotten."""
        fds = [near.fileno() for near, _ in pairs]
        self.close(pairs)
        for fd in fds:
            self._poller.forget(fd)


@pytest.mark.parametrize("way", ["forget", "forget_and_close", "close_and_forget"])
def test_n07_n10_event_of_a_forgotten_file_is_nobodys(poller: Poller, way: str) -> None:
    """Its event was queued, and the threads are let go only when it was forgotten.

    epoll drops a closed file by itself: whether `forget` was told to the kernel shows only
    while the file stays open.
    """
    files = Generations(poller)
    crowd = HaltingCrowd(poller)

    def replace(count: int) -> tuple[list[Pair], list[Pair]]:
        before = files.open(count)
        numbers = {near.fileno() for near, _ in before}
        files.arm(before)
        if way == "close_and_forget":
            files.close_and_forget(before)
        else:
            files.forget(before)
        if way != "forget":
            files.close(before)
        after = files.open(count)
        if way != "forget":
            assert numbers & {near.fileno() for near, _ in after}
        return before, after

    def play_round(_number: int) -> None:
        with crowd.halted() as events:
            assert events == {}
            before, after = replace(100)
            # Some of the successors have nothing to tell.
            silent, loud = after[::4], [pair for n, pair in enumerate(after) if n % 4]
            for quiet, _ in silent:
                poller.add(quiet.fileno(), READ)
            files.arm(loud)
        with crowd.halted() as events:
            counts = Counter({fd: len(found) for fd, found in events.items()})
            assert counts == Counter(near.fileno() for near, _ in loud)
            files.forget(after)
            files.close(before + after)

    crowd.play_rounds(play_round)
    assert told(poller) == []
