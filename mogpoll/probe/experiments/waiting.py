"""Many threads on one queue: which one wakes, and whether every event has one owner."""

from __future__ import annotations

import queue as queues
import resource
import signal
import sys
import threading
import time
from collections import Counter

from mogpoll.backends import open_poller
from mogpoll.interest import Event, Interest
from mogpoll.poller import Poller
from mogpoll.probe.experiment import Answer, Finding, Unavailable, experiment
from mogpoll.probe.kernel import READ, WRITE, open_queue, queue, shared_queue
from mogpoll.probe.sockets import drain, fill, stream_pair
from mogpoll.probe.waiters import PATIENCE_S, Waiter, figures, name_of_order, order_of_service
from mogpoll.stopping import POKE_SIGNAL, install_poke_handler
from mogpoll.waker import BouncingWaker

_THREADS = 8


@experiment("wake-order", "kernel: four threads wait, events come one by one: order of service")
def order_of_waking() -> Answer:
    kernel = shared_queue()
    with stream_pair() as (near, _far):

        def make_ready(event: int) -> None:
            (kernel.rearm if event else kernel.add)(near, WRITE)

        order = order_of_service(lambda: kernel.wait(None), make_ready)
        return Finding(name_of_order(order, 4), f"events of each: {figures(order, 4)}")


@experiment("wake-herd", "kernel: do events wake threads that do not get them")
def threads_woken_in_vain() -> Answer:
    """Compare with a single waiter: what else a thread waits for is the same for both."""
    if not hasattr(resource, "RUSAGE_THREAD"):
        raise Unavailable("there is no RUSAGE_THREAD")
    alone, together = _sleeps_of_an_event(1), _sleeps_of_an_event(4)
    detail = f"sleeps for each event: {alone:.1f} of one waiter, {together:.1f} of four"
    return Finding(together > 2 * alone, detail)


def _sleeps_of_an_event(count: int) -> float:
    """Let `count` threads take events one by one; return how often any slept, by events."""
    kernel, events = shared_queue(), 40
    served: queues.SimpleQueue[int] = queues.SimpleQueue()
    over = threading.Event()

    def serve() -> None:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        while kernel.wait(None) and not over.is_set():
            served.put(0)
        served.put(resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before)

    def make_ready() -> int:
        kernel.rearm(near, WRITE)
        figure = served.get(timeout=PATIENCE_S)
        for waiter in waiters:
            if waiter.is_alive():
                waiter.settle()
        return figure

    with stream_pair() as (near, far):
        # Registered, and silent until it is re-armed.
        fill(near)
        kernel.add(near, WRITE)
        waiters = [Waiter(serve).settle() for _ in range(count)]
        drain(far)
        served.get(timeout=PATIENCE_S)
        for _ in range(events - 1):
            make_ready()
        over.set()
        return sum(make_ready() for _ in waiters) / events


@experiment(
    "add-wakes-a-waiter",
    "kernel: adding a ready descriptor beside a waiter: does it wake",
    relied_on=(True,),
)
def adding_beside_a_waiter() -> Answer:
    kernel = shared_queue()
    with stream_pair() as (near, _far):
        waiter = Waiter(lambda: kernel.wait(None)).settle()
        kernel.add(near, WRITE)
        return waiter.returned() and waiter.result is not None


@experiment(
    "close-wakes-a-waiter",
    "kernel: closing the queue beside a waiter: does it wake",
)
def closing_beside_a_waiter() -> Answer:
    kernel = open_queue()
    waiter = Waiter(lambda: kernel.wait(None)).settle()
    closer = Waiter(kernel.close)
    if not closer.returned(0.5):
        return "no, and close does not return"
    return waiter.returned(0.5)


@experiment(
    "never-drained-reaches-all",
    "kernel: level-triggered data: how many of eight waiting threads wake",
)
def level_triggered_waker() -> Answer:
    kernel = shared_queue()
    with stream_pair() as (near, far):
        kernel.add_level(near)
        waiters = [Waiter(lambda: kernel.wait(None)).settle() for _ in range(_THREADS)]
        far.send(b"a")
        return sum(waiter.returned() for waiter in waiters)


@experiment(
    "bouncing-waker-reaches-all",
    "mogpoll: one wake of a BouncingWaker: how many of eight waiting threads wake",
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
    return sum(waiter.returned() and waiter.result is True for waiter in waiters)


@experiment(
    "one-owner",
    "mogpoll: eight threads, 2100 READ_WRITE armings: events doubled, and lost",
    relied_on=([0, 0],),
)
def owners_of_events() -> Answer:
    # Switch threads at almost every instruction.
    sys.setswitchinterval(1e-6)
    with stream_pair() as one, stream_pair() as two, stream_pair() as three:
        game = _Game(open_poller(), rounds=700)
        for near, far in (one, two, three):
            far.send(b"a")
            game.poller.add(near.fileno(), Interest.READ_WRITE)
        waiters = [Waiter(game.play) for _ in range(_THREADS)]
        lost = sum(not waiter.returned() for waiter in waiters)
        return [game.doubles, lost and game.rounds * 3 - sum(game.turns.values())]


class _Game:
    """Threads that receive and re-arm, until each descriptor had its number of rounds."""

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
    "mogpoll: a signal during a wait of 0.2 s: does the wait end early",
    relied_on=(False,),
)
def signal_in_a_wait() -> Answer:
    install_poke_handler()
    poller = open_poller()

    def wait() -> float:
        began = time.monotonic()
        poller.wait(0.2)
        return time.monotonic() - began

    waiter = Waiter(wait).settle()
    assert waiter.ident is not None
    signal.pthread_kill(waiter.ident, POKE_SIGNAL)
    waiter.returned()
    assert isinstance(waiter.result, float)
    return waiter.result < 0.19


@experiment("wait-nothing", "kernel: polling a queue with nothing ready", relied_on=("nothing",))
def empty_queue() -> Answer:
    with queue() as kernel, stream_pair() as (near, _far):
        kernel.add(near, READ)
        return "nothing" if kernel.wait(0) is None else "something"
