"""A device's slots and its line: who has one, who waits, who is next."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import pytest

from mogstored.storage.device import Device, Devices, device_name
from mogstored.storage.shares import Lent, Shares
from tests.support.threads import run_all

if TYPE_CHECKING:
    from mogstored.storage.docroot import Docroot


class Customer:
    """Somebody who wants a slot; notes what was done to it."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.has_slot = False
        self.forgotten = 0
        self.owners = 1

    def __repr__(self) -> str:
        return f"customer {self.number}"

    def fileno(self) -> int:
        return self.number

    def forget(self) -> None:
        self.forgotten += 1


class Counter:
    """A device, and who was let go on by it."""

    def __init__(self, own: int = 1, lent: Lent | None = None, most: int = 10) -> None:
        self.resumed: list[Customer] = []
        self.lent = lent or Lent(0)
        self.device = Device(b"dev1", Shares(own, 0, most), self.lent, self.resumed.append)

    def enter(self, count: int, first: int = 0, *, has_nothing: bool = False) -> list[Customer]:
        """Let so many come; return those who wait."""
        customers = [Customer(number) for number in range(first, first + count)]
        return [each for each in customers if not self.device.enter(each, has_nothing)]


def test_slots_are_taken_in_turn() -> None:
    counter = Counter(own=2)
    waiting = counter.enter(5)
    assert [each.number for each in waiting] == [2, 3, 4]
    for done in range(1, 4):
        counter.device.leave()
        assert counter.resumed == waiting[:done]
        assert waiting[done - 1].has_slot
        assert counter.device.enter(waiting[done - 1])
        assert not waiting[done - 1].has_slot
    assert counter.device.load() == (2, 0, 0)


def test_slot_is_wanted_while_somebody_waits_or_another_device_could_borrow_it() -> None:
    counter = Counter(own=1, lent=Lent(1), most=2)
    seen = [counter.device.is_wanted()]
    for number in range(3):
        counter.enter(1, number)
        seen.append(counter.device.is_wanted())
    for _ in range(3):
        counter.device.leave()
        seen.append(counter.device.is_wanted())
    assert seen == [False, False, True, True, True, False, False]


def test_own_slots_first_then_borrowed_ones_up_to_the_limit() -> None:
    counter = Counter(own=2, lent=Lent(5), most=4)
    assert len(counter.enter(6)) == 2
    assert counter.device.load() == (4, 2, 2)
    for _ in range(6):
        counter.device.leave()
    assert counter.device.load() == (0, 0, 0)
    assert [counter.lent.take() for _ in range(6)] == [True] * 5 + [False]


def test_devices_cannot_borrow_what_another_has() -> None:
    lent = Lent(3)
    one, other = Counter(own=1, lent=lent), Counter(own=1, lent=lent)
    assert len(one.enter(10)) == 6
    assert len(other.enter(2)) == 1
    one.device.leave()
    # Its first in the line has it now.
    assert len(one.resumed) == 1
    assert other.resumed == []
    for _ in range(5):
        one.device.leave()
    # Nobody waits there any more, so this is lent to the next who comes.
    one.device.leave()
    assert len(other.enter(1)) == 1
    assert [each.number for each in other.resumed] == [1]


def test_who_comes_later_does_not_overtake_even_with_a_slot_to_borrow() -> None:
    lent = Lent(0)
    counter = Counter(own=1, lent=lent)
    first, second = counter.enter(3)[:2]
    lent.resize(1)
    latecomer = Customer(9)
    assert not counter.device.enter(latecomer)
    assert counter.resumed == [first]
    counter.device.leave()
    assert counter.resumed == [first, second]
    assert not latecomer.has_slot


def test_slots_may_become_fewer_and_more_while_they_are_taken() -> None:
    counter = Counter(own=4)
    waiting = counter.enter(6)
    counter.device.adjust(Shares(1, 0, 10))
    for _ in range(3):
        counter.device.leave()
        assert counter.resumed == []
    counter.device.leave()
    assert counter.resumed == waiting[:1]
    counter.device.adjust(Shares(2, 0, 10))
    assert counter.resumed == waiting


def test_those_who_have_gone_are_forgotten_and_the_others_keep_their_places() -> None:
    counter = Counter()
    waiting = counter.enter(6, has_nothing=True)
    assert counter.device.parked() == waiting
    assert counter.device.forget({waiting[0], waiting[3]}) == 2
    assert counter.resumed == [waiting[0], waiting[3]]
    assert [each.forgotten for each in waiting] == [1, 0, 0, 1, 0]
    assert not any(each.has_slot for each in waiting)
    counter.device.leave()
    counter.device.leave()
    assert counter.resumed[2:] == [waiting[1], waiting[2]]


def test_who_holds_something_on_the_device_is_not_forgotten() -> None:
    """Nobody but who has a slot can let go of it."""
    counter = Counter()
    waiting = counter.enter(2)
    assert counter.device.parked() == []
    assert counter.device.forget(set(waiting)) == 0
    counter.device.leave()
    assert counter.resumed == waiting


def test_who_has_gone_on_is_not_forgotten() -> None:
    counter = Counter()
    (waiting,) = counter.enter(2, has_nothing=True)
    counter.device.leave()
    assert counter.device.forget({waiting}) == 0
    assert waiting.forgotten == 0
    assert counter.resumed == [waiting]


class Market:
    """Many customers at one device, each of whom must have one owner at any time."""

    CUSTOMERS = 200
    ROUNDS = 10

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.ready: deque[Customer] = deque()
        self.ended = threading.Semaphore(0)
        self.over = threading.Event()
        self.lent = Lent(2)
        self.device = Device(b"dev1", Shares(2, 0, 3), self.lent, self._resume)
        self.customers = [Customer(number) for number in range(self.CUSTOMERS)]
        self.left = dict.fromkeys(self.customers, self.ROUNDS)
        self.inside = 0
        self.lock = threading.Lock()

    def _resume(self, customer: Customer) -> None:
        self._own(customer, 1)
        self.ready.append(customer)

    def _own(self, customer: Customer, change: int) -> None:
        with self.lock:
            customer.owners += change
            if customer.owners not in (0, 1):
                self.faults.append(f"{customer} has {customer.owners} owners")

    def serve(self) -> None:
        """Be a worker."""
        while not self.over.is_set():
            try:
                customer = self.ready.popleft()
            except IndexError:
                time.sleep(0.0001)
                continue
            if customer.forgotten:
                if customer.has_slot:
                    self.faults.append(f"{customer} was forgotten with a slot")
                self.ended.release()
                continue
            # The line may pass it on before `enter` has returned.
            self._own(customer, -1)
            if not self.device.enter(customer, has_nothing=True):
                continue
            self._own(customer, 1)
            with self.lock:
                self.inside += 1
                if self.inside > 3:
                    self.faults.append(f"{self.inside} inside")
            # The others get the processor, and come to a device without a free slot.
            time.sleep(0.0001)
            with self.lock:
                self.inside -= 1
            self.device.leave()
            self.left[customer] -= 1
            if self.left[customer]:
                self.ready.append(customer)
            else:
                self.ended.release()

    def watch(self) -> None:
        """Forget every tenth of those who wait, again and again."""
        while not self.over.is_set():
            self.device.forget(set(self.customers[::10]))
            time.sleep(0.0001)

    def wait(self) -> None:
        try:
            for _ in self.customers:
                assert self.ended.acquire(timeout=20), "somebody was lost"
        finally:
            self.over.set()


def test_one_owner_while_slots_are_passed_on_and_clients_leave() -> None:
    market = Market()
    market.ready.extend(market.customers)
    run_all([market.serve] * 4 + [market.watch, market.wait])
    assert market.faults == []
    assert market.device.load() == (0, 0, 0)
    assert any(each.forgotten for each in market.customers)
    for each in market.customers:
        assert each.forgotten <= 1
        assert each.forgotten or not market.left[each]


@pytest.mark.parametrize(
    "path",
    [b"dev1/x", b"dev1", b"dev1//x", b"./dev1/x", b"././/dev1//x", b"/dev1/x", b".//./dev1"],
)
def test_paths_on_a_device(docroot: Docroot, path: bytes) -> None:
    devices = Devices(docroot.fileno(), lambda _task: None)
    devices.learn(b"dev1/file")
    assert devices.of(path).name == b"dev1"
    assert device_name(path) == b"dev1"


@pytest.mark.parametrize(
    "path", [b"", b".", b"./", b"dev2/x", b"x/dev1", b"dev01/x", b"./x/dev1", b".dev1/x"]
)
def test_paths_elsewhere(docroot: Docroot, path: bytes) -> None:
    devices = Devices(docroot.fileno(), lambda _task: None)
    devices.learn(b"dev1/file")
    assert devices.of(path).name == b""


def test_only_names_of_devices_are_learnt(docroot: Docroot) -> None:
    devices = Devices(docroot.fileno(), lambda _task: None)
    for path in (b"dev1/x", b"dev01/x", b"other", b"./dev2/x", b"", b"."):
        devices.learn(path)
    assert [each.name for each in devices.everything()] == [b"dev1", b"dev2", b""]
    assert devices.count() == 2
