"""Many threads on one queue: every event has exactly one owner, and none is lost.

Each test ends once every expected event was received. A lost event makes it time out; a doubled
one makes two owners.
"""

from __future__ import annotations

import itertools
import random
import socket
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from mogpoll import BouncingWaker
from tests.mogpoll.backends import Backend
from tests.mogpoll.checks import BOTH, INTERESTS, READ, WRITE, received
from tests.mogpoll.receivers import EVENTS, THREADS, Owners, Receivers, wake_sleepers
from tests.support.sockets import stream_pair
from tests.support.threads import Running, run_all, wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mogpoll import Event, Interest, Poller

pytestmark = pytest.mark.usefixtures("restless")


@pytest.fixture
def ends() -> Iterator[list[socket.socket]]:
    """Return 50 sockets, each readable and writable."""
    pairs = [socket.socketpair() for _ in range(50)]
    for near, far in pairs:
        near.setblocking(False)
        far.send(b"a")
    yield [near for near, _ in pairs]
    for end in itertools.chain(*pairs):
        end.close()


@pytest.mark.parametrize(
    "turns",
    [[READ], [WRITE], [BOTH], [BOTH, WRITE], [BOTH, READ]],
    ids=["read", "write", "both", "both_then_write", "both_then_read"],
)
def test_n10_n19_ten_thousand_events_have_one_owner_each(
    poller: Poller, ends: list[socket.socket], turns: list[Interest]
) -> None:
    rounds = EVENTS // len(ends)
    owners = Owners()
    done = threading.Semaphore(0)

    def play(event: Event) -> None:
        owners.take(event.fd)
        turn = owners.taken[event.fd]
        owners.release(event.fd)
        if turn == rounds:
            done.release()
        else:
            poller.rearm(event.fd, turns[turn % len(turns)])

    receivers = Receivers(poller, play)

    def watch() -> None:
        for _ in ends:
            assert done.acquire(timeout=25)
        receivers.finish()

    for end in ends:
        poller.add(end.fileno(), turns[0])
    receivers.run(watch)
    assert owners.taken == {end.fileno(): rounds for end in ends}
    assert received(poller) == []


def test_n10_tokens_are_passed_on_without_loss(poller: Poller, ends: list[socket.socket]) -> None:
    """Events of real data: each token read is sent to another socket."""
    near_to_far = [socket.socketpair() for _ in range(40)]
    nears = {near.fileno(): near for near, _ in near_to_far}
    fars = [far for _, far in near_to_far]
    for near, far in near_to_far:
        near.setblocking(False)
        far.setblocking(False)
    owners, hops, left = Owners(), itertools.count(1), threading.Event()

    def play(event: Event) -> None:
        owners.take(event.fd)
        try:
            tokens = len(nears[event.fd].recv(1))
        except BlockingIOError:
            tokens = 0
        owners.release(event.fd)
        # Sometimes both: the socket is writable at once, and has nothing to read.
        poller.rearm(event.fd, BOTH if tokens and event.fd % 3 == 0 else READ)
        if tokens:
            hop = next(hops)
            if hop <= EVENTS:
                fars[hop % len(fars)].send(b"t")
            elif hop == EVENTS + len(fars) // 2:
                left.set()

    receivers = Receivers(poller, play)

    def watch() -> None:
        assert left.wait(25)
        receivers.finish()

    for fd in nears:
        poller.add(fd, READ)
    for far in fars[::2]:
        far.send(b"t")
    receivers.run(watch)
    for end in itertools.chain(*near_to_far):
        end.close()
    assert next(hops) == EVENTS + len(fars) // 2 + 1


class Lives:
    """Sockets that some threads add, and their owners forget and close.

    Their numbers are reused at once, by any thread.
    """

    def __init__(self, poller: Poller, count: int, rounds: int) -> None:
        self._poller, self._rounds = poller, rounds
        self._left = count
        self._lock = threading.Lock()
        self._open: dict[int, tuple[socket.socket, socket.socket, list[int]]] = {}
        self._owners = Owners()
        self.receivers = Receivers(poller, self._play)

    def adder(self, count: int) -> Callable[[], None]:
        def add() -> None:
            for number in range(count):
                near, far = socket.socketpair()
                far.send(b"a")
                fd = near.fileno()
                self._open[fd] = (near, far, [0])
                # Another thread may own it from here on.
                self._poller.add(fd, INTERESTS[number % 3])

        return add

    def _play(self, event: Event) -> None:
        fd = event.fd
        self._owners.take(fd)
        near, far, turns = self._open[fd]
        turns[0] += 1
        if turns[0] <= self._rounds:
            interest = INTERESTS[(turns[0] + fd) % 3]
            self._owners.release(fd)
            self._poller.rearm(fd, interest)
            return
        del self._open[fd]
        self._owners.release(fd)
        self._poller.forget(fd)
        near.close()
        far.close()
        with self._lock:
            self._left -= 1
            if not self._left:
                self.receivers.finish()


@pytest.mark.parametrize("rounds", [1, 9])
def test_n07_n10_descriptor_may_be_forgotten_before_the_call_that_armed_it_returns(
    poller: Poller, rounds: int
) -> None:
    lives = Lives(poller, count=EVENTS // (rounds + 1), rounds=rounds)
    lives.receivers.run(*[lives.adder(EVENTS // (rounds + 1) // 4)] * 4)
    assert received(poller) == []


def test_n10_rearm_and_wait_give_each_event_one_owner(
    poller: Poller, ends: list[socket.socket]
) -> None:
    rounds = EVENTS // len(ends)
    owners = Owners()
    over = BouncingWaker()
    over_fd = over.attach(poller)
    left = threading.Semaphore(0)

    def take(event: Event | None) -> Event | None:
        """Own it briefly, re-arm it, and return the next event."""
        assert event is not None
        owners.take(event.fd)
        turn = owners.taken[event.fd]
        owners.release(event.fd)
        if turn < rounds:
            poller.rearm(event.fd, INTERESTS[turn % 3])
        else:
            left.release()
        return poller.wait()

    def play() -> None:
        event = poller.wait()
        while event is not None and event.fd != over_fd:
            event = take(event)
        over.receive(poller)

    def watch() -> None:
        for _ in ends:
            assert left.acquire(timeout=25)
        over.wake()

    for end in ends:
        poller.add(end.fileno(), BOTH)
    run_all([*[play] * THREADS, watch])
    poller.forget(over_fd)
    over.close()
    assert owners.taken == {end.fileno(): rounds for end in ends}


def test_add_and_forget_by_many_threads_leave_nothing(poller: Poller) -> None:
    def churn() -> None:
        with stream_pair() as (near, far):
            far.send(b"a")
            for interest in INTERESTS * 100:
                poller.add(near.fileno(), interest)
                poller.forget(near.fileno())

    run_all([churn] * THREADS)
    assert received(poller) == []


def test_rearm_of_what_is_armed_already_is_one_event(poller: Poller) -> None:
    """As when another thread takes over a waiting task: the last arming yields one event."""
    rounds = 300
    got = threading.Semaphore(0)
    counts = Counter[int]()

    def play(event: Event) -> None:
        counts[event.fd] += 1
        got.release()

    receivers = Receivers(poller, play)
    with stream_pair() as (near, far):

        def churn() -> None:
            fd = near.fileno()
            poller.add(fd, READ)
            for number in range(rounds):
                poller.rearm(fd, INTERESTS[number % 3] if number % 2 else READ)
                poller.rearm(fd, WRITE)
                assert got.acquire(timeout=20)
                while got.acquire(blocking=False):
                    pass
            receivers.finish()

        far.setblocking(False)
        receivers.run(churn, threads=6)
        # Each round arms a ready descriptor at most twice.
        assert rounds <= counts[near.fileno()] <= 2 * rounds
        assert received(poller) == []


def test_one_event_wakes_one_of_many_sleepers(poller: Poller) -> None:
    with stream_pair() as (near, far):
        far.send(b"a")
        reported_of = wake_sleepers(poller, THREADS, lambda: poller.add(near.fileno(), BOTH))
        assert reported_of == [near.fileno()]


def test_as_many_events_as_sleepers_wake_them_all(poller: Poller) -> None:
    waiters = [Running(poller.wait) for _ in range(THREADS)]
    wait_until_asleep(waiters)
    pairs = [socket.socketpair() for _ in range(THREADS)]
    for near, _ in pairs:
        poller.add(near.fileno(), WRITE)
    found = [waiter.result() for waiter in waiters]
    expected = sorted(near.fileno() for near, _ in pairs)
    for end in itertools.chain(*pairs):
        end.close()
    assert sorted(event.fd for event in found if event) == expected


def test_two_pollers_share_nothing(
    poller: Poller, ends: list[socket.socket], backend: Backend
) -> None:
    other = backend.open()
    counts: dict[Poller, Counter[int]] = {poller: Counter(), other: Counter()}

    def game(mine: Poller) -> Callable[[], None]:
        def play(event: Event) -> None:
            counts[mine][event.fd] += 1
            if counts[mine][event.fd] < 20:
                mine.rearm(event.fd, random.choice(INTERESTS))
            elif sum(counts[mine].values()) == 20 * len(ends):
                receivers.finish()

        receivers = Receivers(mine, play)
        for end in ends:
            mine.add(end.fileno(), BOTH)
        return lambda: receivers.run(threads=1)

    run_all([game(poller), game(other)])
    other.close()
    assert counts[poller] == counts[other] == {end.fileno(): 20 for end in ends}
