"""Many threads on one queue: who is woken, by what, and whether every event has one owner."""

from __future__ import annotations

import resource
import signal
import sys
import threading
import time
from collections import Counter

from mogpoll.interest import Event, Interest
from mogpoll.poller import Poller, open_poller
from mogpoll.probe.experiment import Answer, Finding, Unavailable, experiment
from mogpoll.probe.kernel import READ, WRITE, open_queue, queue
from mogpoll.probe.sockets import stream_pair
from mogpoll.probe.waiters import PATIENCE_S, Waiter, figures, name_of_order, takers
from mogpoll.stopping import POKE_SIGNAL, can_poke, install_poke_handler
from mogpoll.waker import BouncingWaker

_THREADS = 8


@experiment("wake-order", "kernel: four threads wait, events come one by one: served")
def order_of_waking() -> Answer:
    with queue() as kernel, stream_pair() as (near, _far):

        def make_ready(event: int) -> None:
            (kernel.again if event else kernel.once)(near, WRITE)

        order = takers(lambda: kernel.next(None), make_ready)
        return Finding(name_of_order(order, 4), f"events of each: {figures(order, 4)}")


@experiment("wake-herd", "kernel: are threads woken by events that others get")
def threads_woken_in_vain() -> Answer:
    if not hasattr(resource, "RUSAGE_THREAD"):
        raise Unavailable("a thread's context switches are not shown")
    with queue() as kernel, stream_pair() as (near, _far), stream_pair() as (last, _):
        left, switches = threading.Semaphore(0), []

        def sleep_through() -> None:
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
            told = kernel.next(None)
            switches.append(resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before)
            if told and told.fd == last.fileno():
                return
            # It was this one's turn: from now on it is who takes events.
            while told and told.fd != last.fileno():
                left.release()
                told = kernel.next(None)

        waiters = [Waiter(sleep_through).settle() for _ in range(4)]
        for event in range(40):
            (kernel.again if event else kernel.once)(near, WRITE)
            left.acquire(timeout=PATIENCE_S)
            for waiter in waiters:
                waiter.settle()
        for event in range(len(waiters)):
            (kernel.again if event else kernel.once)(last, WRITE)
            while sum(waiter.is_alive() for waiter in waiters) >= len(waiters) - event:
                time.sleep(0.001)
        return Finding(sum(switches) > 20, f"switches in the first sleep: {sorted(switches)}")


@experiment(
    "add-wakes-a-waiter",
    "kernel: one thread waits, another adds what is ready: is the first woken",
    relied_on=(True,),
)
def adding_beside_a_waiter() -> Answer:
    with queue() as kernel, stream_pair() as (near, _far):
        waiter = Waiter(lambda: kernel.next(None)).settle()
        kernel.once(near, WRITE)
        return waiter.is_back() and waiter.result is not None


@experiment(
    "close-wakes-a-waiter",
    "kernel: one thread waits, another closes the queue: is the first woken",
)
def closing_beside_a_waiter() -> Answer:
    kernel = open_queue()
    waiter = Waiter(lambda: kernel.next(None)).settle()
    closer = Waiter(kernel.close)
    if not closer.is_back(0.5):
        return "no, and close does not return"
    return waiter.is_back(0.5)


@experiment(
    "never-drained-reaches-all",
    "kernel: data on a descriptor that stays armed: how many of eight threads are woken",
)
def level_triggered_waker() -> Answer:
    with queue() as kernel, stream_pair() as (near, far):
        kernel.for_ever(near)
        waiters = [Waiter(lambda: kernel.next(None)).settle() for _ in range(_THREADS)]
        far.send(b"a")
        return sum(waiter.is_back() for waiter in waiters)


@experiment(
    "bouncing-waker-reaches-all",
    "mogpoll: one wake of a BouncingWaker: how many of eight threads are woken",
    relied_on=(_THREADS,),
)
def bouncing_waker() -> Answer:
    poller, waker = open_poller(), BouncingWaker()
    fd = waker.attach(poller)

    def wait() -> bool:
        event = poller.wait()
        waker.receive(poller)
        return event is not None and event.fd == fd

    waiters = [Waiter(wait).settle() for _ in range(_THREADS)]
    waker.wake()
    return sum(waiter.is_back() and waiter.result is True for waiter in waiters)


@experiment(
    "one-owner",
    "mogpoll: eight threads, 2100 armings for READ_WRITE: events told twice, and lost",
    relied_on=([0, 0],),
)
def owners_of_events() -> Answer:
    # Let threads take turns at almost every instruction.
    sys.setswitchinterval(1e-6)
    with stream_pair() as one, stream_pair() as two, stream_pair() as three:
        game = _Game(open_poller(), rounds=700)
        for near, far in (one, two, three):
            far.send(b"a")
            game.poller.add(near.fileno(), Interest.READ_WRITE)
        waiters = [Waiter(game.play) for _ in range(_THREADS)]
        lost = sum(not waiter.is_back() for waiter in waiters)
        return [game.doubles, lost and game.rounds * 3 - sum(game.turns.values())]


class _Game:
    """Threads that take events and arm again, until each descriptor had its rounds."""

    def __init__(self, poller: Poller, rounds: int) -> None:
        self.poller, self.rounds = poller, rounds
        self.turns = Counter[int]()
        self.doubles = 0
        self._owned: set[int] = set()
        self._lock = threading.Lock()
        self._over = BouncingWaker()
        self._over_fd = self._over.attach(poller)

    def play(self) -> None:
        while (event := self.poller.wait()) and event.fd != self._over_fd:
            if self._take_turn(event):
                self.poller.rearm(event.fd, Interest.READ_WRITE)
        self._over.receive(self.poller)

    def _take_turn(self, event: Event) -> bool:
        with self._lock:
            self.doubles += event.fd in self._owned
            self._owned.add(event.fd)
        with self._lock:
            self._owned.discard(event.fd)
            self.turns[event.fd] += 1
            if sum(self.turns.values()) >= 3 * self.rounds:
                self._over.wake()
            return self.turns[event.fd] < self.rounds


@experiment(
    "signal-in-wait",
    "mogpoll: a signal hits a thread in a wait of 0.2 s: does the wait end early",
    relied_on=(False,),
)
def signal_in_a_wait() -> Answer:
    if not can_poke():
        raise Unavailable("a thread cannot be signalled")
    install_poke_handler()
    poller = open_poller()

    def wait() -> float:
        began = time.monotonic()
        poller.wait(0.2)
        return time.monotonic() - began

    waiter = Waiter(wait).settle()
    assert waiter.ident is not None
    signal.pthread_kill(waiter.ident, POKE_SIGNAL)
    waiter.is_back()
    assert isinstance(waiter.result, float)
    return waiter.result < 0.19


@experiment(
    "wait-nothing", "kernel: a look at a queue where nothing is ready", relied_on=("nothing",)
)
def empty_queue() -> Answer:
    with queue() as kernel, stream_pair() as (near, _far):
        kernel.once(near, READ)
        return "nothing" if kernel.next(0) is None else "something"
