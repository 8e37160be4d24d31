"""Many threads on one queue: every event has exactly one owner, and none is lost.

The games below end by themselves once every event that there must be was received. An event
that is lost leaves them waiting, which fails; one that is delivered twice makes two owners.
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
from tests.mogpoll.conformance.crowds import EVENTS, THREADS, Crowd, Owners, wake_sleepers
from tests.mogpoll.conformance.looks import BOTH, INTERESTS, READ, WRITE, told
from tests.support.sockets import stream_pair
from tests.support.threads import Running, run_all, wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mogpoll import Event, Interest, Poller

pytestmark = pytest.mark.usefixtures("restless")


@pytest.fixture
def ends() -> Iterator[list[socket.socket]]:
    """Fifty sockets, each readable and writable."""
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

    crowd = Crowd(poller, play)

    def watch() -> None:
        for _ in ends:
            assert done.acquire(timeout=25)
        crowd.finish()

    for end in ends:
        poller.add(end.fileno(), turns[0])
    crowd.run(watch)
    assert owners.taken == {end.fileno(): rounds for end in ends}
    assert told(poller) == []


def test_n10_tokens_are_passed_on_without_loss(poller: Poller, ends: list[socket.socket]) -> None:
    """Each socket tells of real data; a token that is read is sent on to another socket."""
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
        # Both directions sometimes: a writer is told at once, and finds nothing to read.
        poller.rearm(event.fd, BOTH if tokens and event.fd % 3 == 0 else READ)
        if tokens:
            hop = next(hops)
            if hop <= EVENTS:
                fars[hop % len(fars)].send(b"t")
            elif hop == EVENTS + len(fars) // 2:
                left.set()

    crowd = Crowd(poller, play)

    def watch() -> None:
        assert left.wait(25)
        crowd.finish()

    for fd in nears:
        poller.add(fd, READ)
    for far in fars[::2]:
        far.send(b"t")
    crowd.run(watch)
    for end in itertools.chain(*near_to_far):
        end.close()
    assert next(hops) == EVENTS + len(fars) // 2 + 1


class Lives:
    """Sockets that are added by some threads, and forgotten and closed by whoever has them.

    Numbers are given out again at once, to whichever thread asks next.
    """

    def __init__(self, poller: Poller, count: int, rounds: int) -> None:
        self._poller, self._rounds = poller, rounds
        self._left = count
        self._lock = threading.Lock()
        self._open: dict[int, tuple[socket.socket, socket.socket, list[int]]] = {}
        self._owners = Owners()
        self.crowd = Crowd(poller, self._play)

    def adder(self, count: int) -> Callable[[], None]:
        def add() -> None:
            for number in range(count):
                near, far = socket.socketpair()
                far.send(b"a")
                fd = near.fileno()
                self._open[fd] = (near, far, [0])
                # From here on it may be somebody else's.
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
                self.crowd.finish()


@pytest.mark.parametrize("rounds", [1, 9])
def test_n07_n10_descriptor_may_be_forgotten_before_the_call_that_armed_it_returns(
    poller: Poller, rounds: int
) -> None:
    lives = Lives(poller, count=EVENTS // (rounds + 1), rounds=rounds)
    lives.crowd.run(*[lives.adder(EVENTS // (rounds + 1) // 4)] * 4)
    assert told(poller) == []


def test_n10_exchange_gives_each_event_one_owner(
    poller: Poller, ends: list[socket.socket]
) -> None:
    rounds = EVENTS // len(ends)
    owners = Owners()
    over = BouncingWaker()
    over_fd = over.attach(poller)
    left = threading.Semaphore(0)

    def take(event: Event | None) -> Event | None:
        """Own it for a moment; return what comes in exchange, or next."""
        assert event is not None
        owners.take(event.fd)
        turn = owners.taken[event.fd]
        owners.release(event.fd)
        if turn < rounds:
            return poller.exchange(event.fd, INTERESTS[turn % 3])
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
    assert told(poller) == []


def test_rearm_of_what_is_armed_already_is_one_event(poller: Poller) -> None:
    """As when somebody takes a waiting task over: nobody is told twice of the last arming."""
    rounds = 300
    got = threading.Semaphore(0)
    counts = Counter[int]()

    def play(event: Event) -> None:
        counts[event.fd] += 1
        got.release()

    crowd = Crowd(poller, play)
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
            crowd.finish()

        far.setblocking(False)
        crowd.run(churn, threads=6)
        # Each round arms at most twice for what is ready.
        assert rounds <= counts[near.fileno()] <= 2 * rounds
        assert told(poller) == []


def test_one_event_wakes_one_of_many_sleepers(poller: Poller) -> None:
    with stream_pair() as (near, far):
        far.send(b"a")
        told_of = wake_sleepers(poller, THREADS, lambda: poller.add(near.fileno(), BOTH))
        assert told_of == [near.fileno()]


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


def test_two_pollers_share_nothing(poller: Poller, ends: list[socket.socket]) -> None:
    other = type(poller)()
    counts: dict[Poller, Counter[int]] = {poller: Counter(), other: Counter()}

    def game(mine: Poller) -> Callable[[], None]:
        def play(event: Event) -> None:
            counts[mine][event.fd] += 1
            if counts[mine][event.fd] < 20:
                mine.rearm(event.fd, random.choice(INTERESTS))
            elif sum(counts[mine].values()) == 20 * len(ends):
                crowd.finish()

        crowd = Crowd(mine, play)
        for end in ends:
            mine.add(end.fileno(), BOTH)
        return lambda: crowd.run(threads=1)

    run_all([game(poller), game(other)])
    other.close()
    assert counts[poller] == counts[other] == {end.fileno(): 20 for end in ends}
