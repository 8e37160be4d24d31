"""The slots of a device and the queue for them."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogpoll import Next
from mogstored.devices import slots
from mogstored.devices.device import Devices
from mogstored.devices.shares import SharedSlots, Shares
from mogstored.devices.slots import READ, Load, Slots
from mogstored.files.names import device_name
from tests.support.clock import stop_clock
from tests.support.threads import is_held, run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogstored.files.docroot import Docroot


class Client:
    """A client's request for a slot; notes what was done to it."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.has_slot = False
        self.waited_s = 0.0
        self.forgotten = self.cleaned = self.sent_ahead = 0
        self.owners = 1

    def __repr__(self) -> str:
        return f"client {self.number}"

    def fileno(self) -> int:
        return self.number

    def send_ahead(self) -> None:
        self.sent_ahead += 1

    def cancel(self) -> None:
        self.forgotten += 1

    def leave_behind(self) -> Callable[[], None]:
        self.forgotten += 1
        return self.clean_up

    def clean_up(self) -> None:
        self.cleaned += 1


class Slotted:
    """The slots of a device, and the clients that it has resumed."""

    def __init__(self, own: int = 1, shared: SharedSlots | None = None, most: int = 10) -> None:
        self.resumed: list[Client] = []
        self.shared = shared or SharedSlots(0)
        self.device = Slots(Shares(own, 0, most), self.shared, self.resumed.append)

    def enter(self, count: int, first: int = 0, *, has_nothing: bool = False) -> list[Client]:
        """Let so many clients come; return those that wait."""
        clients = [Client(number) for number in range(first, first + count)]
        return [each for each in clients if not self.device.enter(each, has_nothing)]


def test_only_what_is_chosen_and_still_waits_sends_ahead() -> None:
    slotted = Slotted()
    waiting = slotted.enter(4)
    slotted.device.leave(READ, 0.0)
    slotted.device.send_ahead({waiting[0], waiting[1]})
    assert [each.sent_ahead for each in waiting] == [0, 1, 0]


def test_slots_are_taken_in_turn() -> None:
    slotted = Slotted(own=2)
    waiting = slotted.enter(5)
    assert [each.number for each in waiting] == [2, 3, 4]
    for done in range(1, 4):
        slotted.device.leave(READ, 0.0)
        assert slotted.resumed == waiting[:done]
        assert waiting[done - 1].has_slot
        assert slotted.device.enter(waiting[done - 1])
        assert not waiting[done - 1].has_slot
    assert slotted.device.load() == (2, 0, 0)


def test_slot_is_wanted_while_a_client_waits_or_another_device_could_borrow_it() -> None:
    slotted = Slotted(own=1, shared=SharedSlots(1), most=2)
    seen = [slotted.device.is_wanted()]
    for number in range(3):
        slotted.enter(1, number)
        seen.append(slotted.device.is_wanted())
    for _ in range(3):
        slotted.device.leave(READ, 0.0)
        seen.append(slotted.device.is_wanted())
    assert seen == [False, False, True, True, True, False, False]


def test_numbers_of_a_load_are_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    slotted = Slotted(own=1)
    held: list[bool] = []
    genuine = slots.Load

    def load(*numbers: int) -> slots.Load:
        held.append(is_held(slotted.device._lock))
        return genuine(*numbers)

    monkeypatch.setattr(slots, "Load", load)
    assert slotted.device.load() == genuine(0, 0, 0)
    assert held == [True]


def test_own_slots_first_then_borrowed_ones_up_to_the_limit() -> None:
    slotted = Slotted(own=2, shared=SharedSlots(5), most=4)
    assert len(slotted.enter(6)) == 2
    assert slotted.device.load() == (4, 2, 2)
    for _ in range(6):
        slotted.device.leave(READ, 0.0)
    assert slotted.device.load() == (0, 0, 0)
    other = Slotted(own=0, shared=slotted.shared)
    assert len(other.enter(6)) == 1


def test_devices_cannot_borrow_what_another_has() -> None:
    shared = SharedSlots(3)
    one, other = Slotted(own=1, shared=shared), Slotted(own=1, shared=shared)
    assert len(one.enter(10)) == 6
    assert len(other.enter(2)) == 1
    one.device.leave(READ, 0.0)
    # Its queue has waited longest.
    assert (len(one.resumed), len(other.resumed)) == (1, 0)
    one.device.leave(READ, 0.0)
    assert (len(one.resumed), len(other.resumed)) == (1, 1)
    one.device.leave(READ, 0.0)
    assert (len(one.resumed), len(other.resumed)) == (2, 1)


def test_borrowed_slot_that_comes_back_goes_to_the_queues_in_turn() -> None:
    """At once: no watchdog looks at the devices in this test."""
    shared = SharedSlots(1)
    borrower, *others = [Slotted(own=1, shared=shared) for _ in range(4)]
    assert borrower.enter(2) == []
    for other in others:
        assert len(other.enter(3)) == 2
    borrower.device.leave(READ, 0.0)
    for done in range(1, 7):
        assert [len(other.resumed) for other in others] == [(done + n) // 3 for n in (2, 1, 0)]
        others[(done - 1) % 3].device.leave(READ, 0.0)
    assert [other.device.load() for other in others] == [(1, 0, 0)] * 3


def test_slot_for_a_queue_that_is_empty_by_then_goes_to_the_next() -> None:
    shared = SharedSlots(1)
    borrower, gone, own, served = [Slotted(own=1, shared=shared) for _ in range(4)]
    assert borrower.enter(2) == []
    leaving = gone.enter(2, has_nothing=True)
    own.enter(2)
    served.enter(2)
    gone.device.cancel(set(leaving))
    own.device.leave(READ, 0.0)
    borrower.device.leave(READ, 0.0)
    assert len(served.resumed) == 1
    assert served.device.load() == (2, 1, 0)
    assert gone.device.load() == (1, 0, 0)


def test_new_shared_slot_goes_to_the_queue_that_waits() -> None:
    shared = SharedSlots(0)
    waiting, other = Slotted(shared=shared), Slotted(shared=shared)
    waiting.enter(2)
    shared.resize(1)
    other.device.resize(Shares(1, 0, 10))
    assert len(waiting.resumed) == 1


def test_device_that_may_not_have_more_takes_nothing() -> None:
    shared = SharedSlots(1)
    borrower, full, served = Slotted(shared=shared), Slotted(shared=shared), Slotted(shared=shared)
    assert borrower.enter(2) == []
    full.enter(2)
    served.enter(2)
    full.device.resize(Shares(1, 0, 1))
    borrower.device.leave(READ, 0.0)
    assert full.resumed == []
    assert len(served.resumed) == 1


def test_client_that_comes_while_a_slot_is_on_its_way_finds_one_for_the_head_of_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = SharedSlots(2)
    borrower, slotted = Slotted(shared=shared), Slotted(shared=shared)
    assert borrower.enter(3) == []
    waiting = slotted.enter(3)
    borrow, latecomer = slotted.device.borrow, Client(9)

    def borrow_late() -> None:
        """Another slot comes back, and a client comes, before the first slot is used."""
        borrower.device.leave(READ, 0.0)
        assert not slotted.device.enter(latecomer)
        borrow()

    monkeypatch.setattr(slotted.device, "borrow", borrow_late)
    borrower.device.leave(READ, 0.0)
    assert slotted.resumed == waiting
    assert all(each.has_slot for each in waiting)
    assert slotted.device.load() == (3, 2, 1)


def test_latecomer_does_not_overtake_even_with_a_slot_to_borrow() -> None:
    shared = SharedSlots(0)
    slotted = Slotted(own=1, shared=shared)
    first, second = slotted.enter(3)[:2]
    shared.resize(1)
    latecomer = Client(9)
    assert not slotted.device.enter(latecomer)
    assert slotted.resumed == []
    shared.hand_out()
    assert slotted.resumed == [first]
    slotted.device.leave(READ, 0.0)
    assert slotted.resumed == [first, second]
    assert not latecomer.has_slot


def test_slots_may_become_fewer_and_more_while_they_are_taken() -> None:
    slotted = Slotted(own=4)
    waiting = slotted.enter(6)
    slotted.device.resize(Shares(1, 0, 10))
    for _ in range(3):
        slotted.device.leave(READ, 0.0)
        assert slotted.resumed == []
    slotted.device.leave(READ, 0.0)
    assert slotted.resumed == waiting[:1]
    slotted.device.resize(Shares(2, 0, 10))
    assert slotted.resumed == waiting


def test_clients_that_have_gone_are_dropped_and_the_others_keep_their_places() -> None:
    slotted = Slotted()
    waiting = slotted.enter(6, has_nothing=True)
    assert slotted.device.parked() == waiting
    assert slotted.device.cancel({waiting[0], waiting[3]}) == 2
    assert slotted.resumed == [waiting[0], waiting[3]]
    assert [each.forgotten for each in waiting] == [1, 0, 0, 1, 0]
    assert not any(each.has_slot for each in waiting)
    slotted.device.leave(READ, 0.0)
    slotted.device.leave(READ, 0.0)
    assert slotted.resumed[2:] == [waiting[1], waiting[2]]


def test_clients_that_have_waited_for_long_are_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    now = stop_clock(monkeypatch, slots, 100.0)
    slotted = Slotted()
    waiting = slotted.enter(3, has_nothing=True)
    holding = slotted.enter(1)
    now[0] += 4.0
    late = slotted.enter(1, has_nothing=True)
    now[0] += 2.0
    kept = waiting[1]
    assert slotted.device.expire(5.0, lambda each: each is not kept) == 2
    assert slotted.resumed == [waiting[0], *holding]
    assert [each.forgotten for each in (*waiting, *holding, *late)] == [1, 0, 1, 0]
    slotted.device.leave(READ, 0.0)
    assert slotted.resumed[-1] is kept


def test_leftover_of_a_dropped_client_is_cleaned_up_in_its_turn() -> None:
    """Only with a slot can it be cleaned up."""
    slotted = Slotted()
    first, last = slotted.enter(3)
    assert slotted.device.cancel({first}) == 1
    assert slotted.resumed == [first]
    assert not first.has_slot
    # A leftover is no client that could be dropped, or asked whether it is there.
    assert slotted.device.parked() == [last]
    assert slotted.device.cancel({first}) == slotted.device.expire(0.0, lambda _: False) == 0
    assert slotted.device.load().waiting == 2
    slotted.device.leave(READ, 0.0)
    leftover = cast("Any", slotted.resumed[-1])
    assert (leftover.has_slot, first.cleaned) == (True, 0)
    assert leftover.step(None) is Next.PARKED
    assert first.cleaned == 1
    assert slotted.resumed[-1] is last
    slotted.device.leave(READ, 0.0)
    assert slotted.device.load().held == 0


def test_client_that_was_resumed_is_not_dropped() -> None:
    slotted = Slotted()
    (waiting,) = slotted.enter(2, has_nothing=True)
    slotted.device.leave(READ, 0.0)
    assert slotted.device.cancel({waiting}) == 0
    assert waiting.forgotten == 0
    assert slotted.resumed == [waiting]


class Contention:
    """Many clients at some devices; each must have exactly one owner at any time."""

    CLIENTS = 200
    ROUNDS = 10

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.ready: deque[Client] = deque()
        self.ended = threading.Semaphore(0)
        self.over = threading.Event()
        self.shared = SharedSlots(2)
        self.devices = [Slots(Shares(1, 0, 3), self.shared, self._resume) for _ in range(3)]
        self.clients = [Client(number) for number in range(self.CLIENTS)]
        self.left = dict.fromkeys(self.clients, self.ROUNDS)
        self.inside = dict.fromkeys(self.devices, 0)
        self.lock = threading.Lock()

    def _resume(self, client: Client) -> None:
        self._own(client, 1)
        self.ready.append(client)

    def _own(self, client: Client, change: int) -> None:
        with self.lock:
            client.owners += change
            if client.owners not in (0, 1):
                self.faults.append(f"{client} has {client.owners} owners")

    def serve(self) -> None:
        """Be a worker."""
        while not self.over.is_set():
            try:
                client = self.ready.popleft()
            except IndexError:
                time.sleep(0.0001)
                continue
            if client.forgotten:
                if client.has_slot:
                    self.faults.append(f"{client} was forgotten with a slot")
                self.ended.release()
                continue
            # The queue may pass it on before `enter` has returned.
            self._own(client, -1)
            device = self.devices[client.number % len(self.devices)]
            if not device.enter(client, has_nothing=True):
                continue
            self._own(client, 1)
            with self.lock:
                self.inside[device] += 1
                inside = self.inside.values()
                if max(inside) > 3 or sum(inside) > 5:
                    self.faults.append(f"{[*inside]} inside")
            # Other threads run, and find a device without a free slot.
            time.sleep(0.0001)
            with self.lock:
                self.inside[device] -= 1
            device.leave(READ, 0.0)
            self.left[client] -= 1
            if self.left[client]:
                self.ready.append(client)
            else:
                self.ended.release()

    def watch(self) -> None:
        """Forget every tenth of the clients that wait, again and again."""
        while not self.over.is_set():
            for device in self.devices:
                device.cancel(set(self.clients[::10]))
            time.sleep(0.0001)

    def wait(self) -> None:
        try:
            for _ in self.clients:
                assert self.ended.acquire(timeout=20), "a client was lost"
        finally:
            self.over.set()


def test_one_owner_while_slots_are_passed_on_and_clients_leave() -> None:
    contention = Contention()
    contention.ready.extend(contention.clients)
    run_all([contention.serve] * 6 + [contention.watch, contention.wait])
    assert contention.faults == []
    assert [device.load() for device in contention.devices] == [(0, 0, 0)] * 3
    assert any(each.forgotten for each in contention.clients)
    for each in contention.clients:
        assert each.forgotten <= 1
        assert each.forgotten or not contention.left[each]


@pytest.mark.parametrize(
    "path",
    [b"dev1/x", b"dev1", b"dev1//x", b"./dev1/x", b"././/dev1//x", b"/dev1/x", b".//./dev1"],
)
def test_paths_on_a_device(docroot: Docroot, path: bytes) -> None:
    devices = Devices(docroot, lambda _task: None)
    devices.register(b"dev1/file")
    assert devices.of(path).name == b"dev1"
    assert device_name(path) == b"dev1"


@pytest.mark.parametrize(
    "path", [b"", b".", b"./", b"dev2/x", b"x/dev1", b"dev01/x", b"./x/dev1", b".dev1/x"]
)
def test_paths_elsewhere(docroot: Docroot, path: bytes) -> None:
    devices = Devices(docroot, lambda _task: None)
    devices.register(b"dev1/file")
    assert devices.of(path).name == b""


def test_only_names_of_devices_are_registered(docroot: Docroot) -> None:
    devices = Devices(docroot, lambda _task: None)
    for path in (b"dev1/x", b"dev01/x", b"other", b"./dev2/x", b"", b"."):
        devices.register(path)
    assert [each.name for each in devices.everything()] == [b"dev1", b"dev2", b""]
    assert devices.count() == 2


def test_turns_are_counted_by_operation_and_duration() -> None:
    slotted = Slotted(own=3)
    slotted.enter(3)
    slotted.device.leave(slots.READ, 0.0005)
    slotted.device.leave(slots.WRITE, 0.05)
    slotted.device.leave(slots.WRITE, 100.0)
    counts = slotted.device.counts()
    assert {name: state.counts for name, state in counts.operations.items()} == {
        "read": (1, 0, 0, 0, 0, 0, 0, 0),
        "write": (0, 0, 0, 1, 0, 0, 0, 1),
    }
    assert counts.operations["write"].seconds == pytest.approx(100.05)
    # None of them was parked.
    assert counts.wait.counts == (3, 0, 0, 0, 0, 0, 0, 0)
    assert counts.oldest_wait_s == 0


def test_waits_are_those_of_parked_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = stop_clock(monkeypatch, slots, 100.0)
    slotted = Slotted()
    first, second = slotted.enter(3)
    now[0] += 1.5
    assert slotted.device.counts().oldest_wait_s == 1.5
    slotted.device.leave(READ, 0.0)
    assert slotted.device.counts().load == Load(1, 0, 1)
    assert (first.waited_s, second.waited_s) == (1.5, 0.0)
    now[0] += 20
    slotted.device.leave(READ, 0.0)
    counts = slotted.device.counts()
    assert counts.wait.counts == (1, 0, 0, 0, 0, 1, 0, 1)
    assert counts.wait.seconds == first.waited_s + second.waited_s == 23.0
