"""Many threads, counted exactly: every arming is reported once, or replaced, or forgotten.

The threads pause between rounds (see `PausableReceivers`). Numbers are reused only then: before,
an event of the old file may still be on its way.
"""

from __future__ import annotations

import itertools
import socket
from collections import Counter
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll.checks import BOTH, INTERESTS, READ, WRITE, received
from tests.mogpoll.receivers import PausableReceivers
from tests.support.sockets import drain
from tests.support.threads import run_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mogpoll import Event, Interest, Poller
    from tests.mogpoll.checks import Pair

pytestmark = pytest.mark.usefixtures("restless")

# Calls for one descriptor in a row: an interest arms it, None forgets it. The last arming is
# for a direction of its own, so that its event cannot be taken for an earlier one.
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
    """Return 100 socket pairs."""
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
    """Each event belongs to another arming and names its direction; the last arming has one."""
    armings = [interest for interest in script if interest is not None]
    assert len(events) <= len(armings)
    for direction in (READ, WRITE):
        of_no_other = [event for event in events if not event.readiness & ~direction & BOTH]
        assert len(of_no_other) <= sum(bool(arming & direction) for arming in armings)
    if script[-1] is not None:
        assert any(event.readiness & script[-1] for event in events), "the last is not reported"


def test_n10_add_rearm_and_forget_race_with_many_waits(poller: Poller, pairs: list[Pair]) -> None:
    for _, far in pairs:
        far.send(b"a")
    fds = [near.fileno() for near, _ in pairs]
    receivers = PausableReceivers(poller)

    def churn(scripts: dict[int, Script]) -> None:
        for fd, script in scripts.items():
            perform(poller, fd, script)

    def play_round(number: int) -> None:
        scripts = {fd: SCRIPTS[(fd + number) % len(SCRIPTS)] for fd in fds}
        shares = [{fd: scripts[fd] for fd in fds[start::4]} for start in range(4)]
        run_all([partial(churn, share) for share in shares])
        with receivers.paused() as events:
            for fd, script in scripts.items():
                check(script, events.pop(fd, []))
                if script[-1] is not None:
                    poller.forget(fd)
            assert events == {}

    receivers.play_rounds(play_round)
    assert received(poller) == []


def test_forget_while_an_event_arrives(poller: Poller, pairs: list[Pair]) -> None:
    """At most one event each; what is re-armed meanwhile gets one, and all do afterwards."""
    receivers = PausableReceivers(poller)
    fds = [near.fileno() for near, _ in pairs]
    # While the data arrives: forget, re-arm, or nothing.
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
        with receivers.paused() as events:
            for fd, steps in meanwhile.items():
                check((READ, *steps), events.pop(fd, []))
            assert events == {}
        for fd, steps in meanwhile.items():
            arm = poller.add if steps == (None,) else poller.rearm
            arm(fd, READ)
        with receivers.paused() as events:
            assert {fd: len(found) for fd, found in events.items()} == dict.fromkeys(fds, 1)
            for fd, (near, _) in zip(fds, pairs, strict=True):
                poller.forget(fd)
                drain(near)

    receivers.play_rounds(play_round)
    assert received(poller) == []


class Generations:
    """Files that are armed and ready, and their successors by number."""

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
        """A number that is closed first stays registered until it is forgotten."""
        fds = [near.fileno() for near, _ in pairs]
        self.close(pairs)
        for fd in fds:
            self._poller.forget(fd)


@pytest.mark.parametrize("way", ["forget", "forget_and_close", "close_and_forget"])
def test_n07_n10_event_of_a_forgotten_file_is_not_delivered(poller: Poller, way: str) -> None:
    """The event is queued; the threads resume after the file was forgotten.

    epoll drops closed files itself, so a missing EPOLL_CTL_DEL shows only while the file stays
    open.
    """
    files = Generations(poller)
    receivers = PausableReceivers(poller)

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
        with receivers.paused() as events:
            assert events == {}
            before, after = replace(100)
            # Some successors are not ready.
            silent, loud = after[::4], [pair for n, pair in enumerate(after) if n % 4]
            for quiet, _ in silent:
                poller.add(quiet.fileno(), READ)
            files.arm(loud)
        with receivers.paused() as events:
            counts = Counter({fd: len(found) for fd, found in events.items()})
            assert counts == Counter(near.fileno() for near, _ in loud)
            files.forget(after)
            files.close(before + after)

    receivers.play_rounds(play_round)
    assert received(poller) == []
