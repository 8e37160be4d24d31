"""What is done about devices that hang, and about clients that give up: slots, not disks."""

from __future__ import annotations

import logging
import socket
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from mogstored.storage import device_watch
from mogstored.storage.device import Device, Devices
from mogstored.storage.device_watch import HANGING_S, MAX_REPLACED, DeviceWatch, DiskThreads
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogstored.storage.docroot import Docroot


class Client:
    """A client's request, and both ends of its connection once somebody looks at it."""

    def __init__(self) -> None:
        self.has_slot = False
        self.is_forgotten = False

    @cached_property
    def ends(self) -> tuple[socket.socket, socket.socket]:
        return socket.socketpair()

    @property
    def far(self) -> socket.socket:
        return self.ends[1]

    def fileno(self) -> int:
        # Hundreds of others would need more descriptors than there are.
        return self.ends[0].fileno() if "ends" in self.__dict__ else -1

    def forget(self) -> None:
        self.is_forgotten = True

    def close(self) -> None:
        if "ends" in self.__dict__:
            for end in self.ends:
                end.close()


class Plant:
    """A process with so many threads and devices, and a clock that is worked by hand."""

    def __init__(self, docroot: Docroot, threads: int, devices: int) -> None:
        self.now = 1000.0
        self.sizes: list[int] = []
        self.resumed: list[Client] = []
        self.threads = DiskThreads(threads, devices, self.sizes.append)
        self.devices = Devices(
            docroot.fileno(), self.resumed.append, self.threads.shares, self.threads.lent
        )
        self.threads.devices.append(self.devices)
        for number in range(1, devices + 1):
            self.devices.learn(b"dev%d" % number)
        self.watch = DeviceWatch(self.threads)
        self.clients: list[Client] = []

    def device(self, number: int) -> Device:
        return self.devices.of(b"dev%d/file" % number)

    def enter(self, number: int, count: int) -> list[Client]:
        """Send so many clients to a device; return those who got in."""
        clients = [Client() for _ in range(count)]
        self.clients += clients
        return [each for each in clients if self.device(number).enter(each, has_nothing=True)]

    def held(self) -> int:
        return sum(load.held for load in self.threads.busy().values())

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.watch.look()
            self.now += 1.0
        self.watch.look()

    def size(self) -> int:
        """The number of threads as it was asked for last."""
        return self.sizes[-1]


@pytest.fixture
def plants(docroot: Docroot, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Plant]]:
    made: list[Plant] = []
    monkeypatch.setattr(device_watch, "monotonic", lambda: made[0].now)
    yield made
    for plant in made:
        for client in plant.clients:
            client.close()


@pytest.fixture
def build(docroot: Docroot, plants: list[Plant]) -> object:
    def make(threads: int, devices: int) -> Plant:
        plants.append(Plant(docroot, threads, devices))
        return plants[-1]

    return make


if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[int, int], Plant]


@pytest.mark.parametrize(
    ("threads", "devices", "hanging"),
    [(10, 1, 0), (100, 10, 1), (100, 10, 9), (100, 100, 1), (100, 100, 99), (100, 500, 50)],
)
def test_the_rest_has_threads_at_once(
    build: Build, threads: int, devices: int, hanging: int
) -> None:
    """Before anybody has noticed that some hang."""
    plant = build(threads, devices)
    for number in range(1, hanging + 1):
        plant.enter(number, 20)
    left = threads - plant.held()
    own = plant.threads.shares.own
    assert left >= min(threads - hanging, own * (devices - hanging))
    for number in range(hanging + 1, devices + 1):
        assert len(plant.enter(number, own)) == own


@pytest.mark.parametrize("devices", [1, 10, 100, 500])
def test_all_but_one_may_hang(build: Build, devices: int) -> None:
    """More than there are threads for, in the end; each is made up for."""
    threads = min(100, max(10, 10 * devices))
    plant = build(threads, devices)
    for number in range(2, devices + 1):
        plant.enter(number, 20)
    held = plant.held()
    plant.pass_time(HANGING_S)
    if devices == 1:
        assert plant.sizes == []
    else:
        assert plant.size() == threads + held
    # One device is left, and all but its own share is there for it to borrow from.
    wanted = plant.threads.shares.own + min(plant.threads.shares.lent, 5)
    assert len(plant.enter(1, 20)) >= wanted


def test_no_more_threads_than_so_many_are_made_up_for(build: Build) -> None:
    plant = build(MAX_REPLACED * 2, 1)
    plant.enter(1, MAX_REPLACED * 2)
    plant.pass_time(HANGING_S)
    assert plant.size() == MAX_REPLACED * 3


def test_threads_go_when_the_device_goes_on(build: Build) -> None:
    plant = build(20, 2)
    plant.enter(1, 30)
    plant.pass_time(HANGING_S)
    assert plant.sizes == [30]
    plant.device(1).leave()
    plant.pass_time(0)
    assert plant.sizes == [30, 20]
    # Twenty were waiting; the first of them has the slot.
    assert len(plant.resumed) == 1


def test_device_that_is_slow_but_goes_on_is_left_alone(build: Build) -> None:
    plant = build(20, 2)
    plant.enter(1, 100)
    for _ in range(10):
        plant.pass_time(1)
        plant.device(1).leave()
    assert plant.sizes == []


def test_devices_that_hang_are_in_the_log_once(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    plant = build(20, 2)
    caplog.set_level(logging.INFO, "mogstored")
    plant.enter(2, 1)
    plant.pass_time(10)
    # One request may just take long, and hurts nobody.
    assert caplog.messages == []
    plant.enter(1, 30)
    plant.pass_time(10)
    assert caplog.messages == ["dev1 has ended none of its 10 requests for 2 s, and 20 more wait"]
    plant.device(1).leave()
    plant.pass_time(0)
    assert caplog.messages[1:] == ["dev1 goes on with its requests"]


def test_number_of_threads_is_changed_while_some_hang(build: Build) -> None:
    plant = build(20, 2)
    plant.enter(1, 30)
    plant.pass_time(HANGING_S)
    plant.threads.set_count(40)
    assert plant.sizes == [30, 50]
    plant.threads.set_count(4)
    assert plant.sizes == [30, 50, 14]
    assert plant.threads.shares.own == 1
    assert len(plant.enter(2, 1)) == 1


def test_new_devices_have_their_share(build: Build) -> None:
    plant = build(20, 1)
    assert plant.threads.shares.own == 10
    plant.devices.learn(b"dev2/file")
    plant.watch.look()
    assert plant.threads.shares.own == 5
    assert len(plant.enter(2, 20)) == 10


def test_clients_that_have_gone_are_forgotten_after_a_look(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    plant = build(10, 1)
    caplog.set_level(logging.INFO, "mogstored")
    plant.enter(1, 14)
    waiting = plant.clients[10:]
    waiting[1].far.close()
    waiting[2].far.shutdown(socket.SHUT_WR)
    waiting[3].far.send(b"the next request")
    plant.watch.look()
    assert plant.resumed == []
    plant.watch.look()
    assert plant.resumed == waiting[1:3]
    assert [each.is_forgotten for each in waiting] == [False, True, True, False]
    assert caplog.messages == ["dev1: 2 requests were given up by their clients"]
    # The first who is still there is the next.
    plant.device(1).leave()
    assert plant.resumed[2:] == waiting[:1]


def test_thread_looks_by_itself_and_ends(build: Build) -> None:
    plant = build(10, 1)
    plant.enter(1, 11)
    plant.clients[-1].far.close()
    plant.watch.start()
    wait_until(lambda: plant.clients[-1].is_forgotten, "the client is forgotten")
    plant.watch.stop()
