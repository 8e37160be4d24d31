"""Devices that hang and clients that give up, seen through slots alone."""

from __future__ import annotations

import logging
import socket
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from mogstored.devices import watchdog
from mogstored.devices.device import Device, Devices
from mogstored.devices.health import HANGING_S, Health, HeldSlots
from mogstored.devices.shares import share_out
from mogstored.devices.slots import READ
from mogstored.devices.watchdog import SlotAllocator, Watchdog
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogstored.devices.slots import Parkable
    from mogstored.files.docroot import Docroot


class Client:
    """A client's request; its connection has two ends once a test looks at it."""

    def __init__(self) -> None:
        self.has_slot = False
        self.waited_s = 0.0
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

    def send_ahead(self) -> None:
        """It has nothing to send."""

    def cancel(self) -> None:
        self.is_forgotten = True

    def leave_behind(self) -> Callable[[], None]:
        raise AssertionError("it has nothing on the device")

    def close(self) -> None:
        if "ends" in self.__dict__:
            for end in self.ends:
                end.close()


class FakeProcess:
    """A process with so many threads and devices, and a clock that the test sets."""

    def __init__(self, docroot: Docroot, threads: int, devices: int) -> None:
        self.now = 1000.0
        self.sizes: list[int] = []
        self.resumed: list[Client] = []
        # Threads that the system allows.
        self.allowed = 1000
        self.threads = SlotAllocator(
            threads,
            devices,
            self.sizes.append,
            lambda: min(self.allowed, [threads, *self.sizes][-1]),
        )
        self.devices = Devices(
            docroot, self.resumed.append, self.threads.shares, self.threads.shared
        )
        self.threads.devices.append(self.devices)
        for number in range(1, devices + 1):
            self.devices.register(b"dev%d" % number)
        self.rounds = 0
        self.watch = Watchdog(self.threads, self.note_round)
        self.clients: list[Client] = []

    def note_round(self) -> None:
        self.rounds += 1

    def device(self, number: int) -> Device:
        return self.devices.of(b"dev%d/file" % number)

    def enter(self, number: int, count: int) -> list[Client]:
        """Send so many clients to a device; return those that got a slot."""
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
        """The number of threads that was asked for last."""
        return self.sizes[-1]


@pytest.fixture
def processes(docroot: Docroot, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeProcess]]:
    made: list[FakeProcess] = []
    monkeypatch.setattr(watchdog, "monotonic", lambda: made[0].now)
    yield made
    for process in made:
        for client in process.clients:
            client.close()


@pytest.fixture
def build(docroot: Docroot, processes: list[FakeProcess]) -> object:
    def make(threads: int, devices: int) -> FakeProcess:
        processes.append(FakeProcess(docroot, threads, devices))
        return processes[-1]

    return make


if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[int, int], FakeProcess]


@pytest.mark.parametrize(
    ("threads", "devices", "hanging"),
    [(10, 1, 0), (100, 10, 1), (100, 10, 9), (100, 100, 1), (100, 100, 99), (100, 500, 50)],
)
def test_the_rest_has_threads_at_once(
    build: Build, threads: int, devices: int, hanging: int
) -> None:
    """Before the watchdog has noticed that some hang."""
    process = build(threads, devices)
    for number in range(1, hanging + 1):
        process.enter(number, 20)
    left = threads - process.held()
    own = process.threads.shares.own
    assert left >= min(threads - hanging, own * (devices - hanging))
    for number in range(hanging + 1, devices + 1):
        assert len(process.enter(number, own)) == own


@pytest.mark.parametrize("devices", [1, 10, 100, 500])
def test_all_but_one_may_hang(build: Build, devices: int) -> None:
    """More than there are threads for, in the end; each thread is replaced."""
    threads = min(100, max(10, 10 * devices))
    process = build(threads, devices)
    for number in range(2, devices + 1):
        process.enter(number, 20)
    held = process.held()
    process.pass_time(HANGING_S)
    if devices == 1:
        assert process.sizes == []
    else:
        assert process.size() == threads + held
    # One device is left, and all but its own share is there for it to borrow from.
    wanted = process.threads.shares.own + min(process.threads.shares.shared, 5)
    assert len(process.enter(1, 20)) >= wanted


def test_number_of_replaced_threads_is_limited(build: Build) -> None:
    process = build(1000, 1)
    process.enter(1, 1000)
    process.pass_time(HANGING_S)
    assert process.size() == 1500


def test_threads_go_when_the_device_goes_on(build: Build) -> None:
    process = build(20, 2)
    process.enter(1, 30)
    process.pass_time(HANGING_S)
    assert process.sizes == [30]
    assert [process.device(number).health.hangs() for number in (1, 2, 3)] == [True, False, False]
    process.device(1).leave(READ, 0.0)
    process.pass_time(0)
    assert process.sizes == [30, 20]
    assert not process.device(1).health.hangs()
    # Twenty were waiting; the first of them has the slot.
    assert len(process.resumed) == 1


def test_device_that_is_slow_but_goes_on_is_left_alone(build: Build) -> None:
    process = build(20, 2)
    process.enter(1, 100)
    for _ in range(10):
        process.pass_time(1)
        process.device(1).leave(READ, 0.0)
    assert process.sizes == []


def test_devices_that_hang_are_in_the_log_once(
    build: Build, docroot: Docroot, caplog: pytest.LogCaptureFixture
) -> None:
    process = build(20, 2)
    caplog.set_level(logging.INFO, "mogstored")
    process.enter(2, 1)
    process.enter(1, 30)
    process.pass_time(1)
    assert caplog.messages == []
    process.pass_time(10)
    process.pass_time(10)
    assert sorted(caplog.messages) == [
        f"{docroot.path}/dev1 has ended none of its 10 requests for 2 s, and 20 more wait",
        f"{docroot.path}/dev2 has ended none of its 1 requests for 2 s, and 0 more wait",
    ]
    process.device(1).leave(READ, 0.0)
    process.pass_time(0)
    assert caplog.messages[2:] == [f"{docroot.path}/dev1 answers again"]


def test_number_of_threads_is_changed_while_some_hang(build: Build) -> None:
    process = build(20, 2)
    process.enter(1, 30)
    process.pass_time(HANGING_S)
    process.threads.set_count(40)
    assert process.sizes == [30, 50]
    process.threads.set_count(4)
    assert process.sizes == [30, 50, 14]
    assert process.threads.shares.own == 1
    assert len(process.enter(2, 1)) == 1


def test_new_devices_have_their_share(build: Build) -> None:
    process = build(20, 1)
    assert process.threads.shares.own == 10
    process.devices.register(b"dev2/file")
    process.watch.look()
    assert process.threads.shares.own == 5
    assert len(process.enter(2, 20)) == 10


def test_clients_that_have_gone_are_dropped_after_a_look(
    build: Build, docroot: Docroot, caplog: pytest.LogCaptureFixture
) -> None:
    process = build(10, 1)
    caplog.set_level(logging.INFO, "mogstored")
    process.enter(1, 14)
    waiting = process.clients[10:]
    waiting[1].far.close()
    # It may wait for the answer.
    waiting[2].far.shutdown(socket.SHUT_WR)
    waiting[3].far.send(b"the next request")
    process.watch.look()
    assert process.resumed == []
    process.watch.look()
    assert process.resumed == waiting[1:2]
    assert [each.is_forgotten for each in waiting] == [False, True, False, False]
    assert caplog.messages == [f"{docroot.path}/dev1: 1 requests were given up by their clients"]
    # The first that is still there is the next.
    process.device(1).leave(READ, 0.0)
    assert process.resumed[1:] == waiting[:1]


def test_thread_looks_by_itself_and_ends(build: Build) -> None:
    process = build(10, 1)
    process.enter(1, 11)
    process.clients[-1].far.close()
    process.watch.start()
    wait_until(lambda: process.clients[-1].is_forgotten, "the client is forgotten")
    wait_until(lambda: process.rounds, "the rest is called")
    process.watch.stop()
    assert process.watch._thread is not None
    assert not process.watch._thread.is_alive()


def test_watchdog_that_was_not_started_stops(build: Build) -> None:
    process = build(10, 1)
    process.watch.stop()
    process.watch.start()
    process.watch.stop()
    assert process.watch._thread is not None
    assert not process.watch._thread.is_alive(), "it has been stopped before"


def test_clients_that_wait_are_probed_once_and_sent_what_comes_first(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = build(10, 1)
    process.enter(1, 12)
    one, other = process.clients[10:]
    one.far.shutdown(socket.SHUT_WR)
    probed: list[tuple[int, int]] = []
    sent: list[set[Parkable]] = []
    monkeypatch.setattr(watchdog, "probe_often", lambda *probe: probed.append(probe))
    monkeypatch.setattr(Device, "send_ahead", lambda _, tasks: sent.append(tasks))
    monkeypatch.setattr(watchdog, "sends_no_more", lambda fds: {*fds} & {one.fileno()})
    process.watch.look()
    assert (probed, sent) == ([], [set()])
    for _ in range(2):
        process.watch.look()
        assert sorted(probed) == sorted([(one.fileno(), 15), (other.fileno(), 15)])
    assert sent[1:] == [{one}, {one}]
    # One that comes back waits anew.
    process.device(1).cancel({one, other})
    process.watch.look()
    for task in (one, other):
        task.has_slot = False
        process.device(1).enter(task, has_nothing=True)
    process.watch.look()
    assert len(probed) == 2
    process.watch.look()
    assert len(probed) == 4


def test_each_look_logs_what_was_left_out_and_what_has_changed(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(watchdog, "log_left_out", lambda: calls.append("left out"))
    monkeypatch.setattr(Health, "log_change", lambda it: calls.append(it.path.split("/")[-1]))
    build(10, 1).watch.look()
    assert calls == ["dev1", "docroot", "left out"]


def test_devices_that_hold_or_wait_are_busy(build: Build) -> None:
    process = build(20, 3)
    process.enter(1, 1)
    busy = process.threads.busy()
    assert [(device.label, load.held, load.waiting) for device, load in busy.items()] == [
        ("dev1", 1, 0)
    ]
    process.device(1).leave(READ, 0.0)
    assert process.threads.busy() == {}


def test_thread_looks_once_a_second(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    process, waits, done = build(10, 1), [], []
    watch = Watchdog(process.threads, lambda: done.append("also"))

    def wait(interval_s: float) -> bool:
        waits.append(interval_s)
        return len(waits) == 3

    monkeypatch.setattr(watch, "look", lambda: done.append("look"))
    monkeypatch.setattr(watch._stopping, "wait", wait)
    watch._run()
    assert waits == [1.0] * 3
    assert done == ["look", "also"] * 2


def test_device_that_moves_begins_its_time_anew(build: Build) -> None:
    process = build(20, 2)
    process.enter(1, 30)
    process.pass_time(HANGING_S - 1)
    process.device(1).leave(READ, 0.0)
    process.pass_time(HANGING_S - 1)
    assert not process.device(1).health.hangs()
    process.pass_time(1)
    assert process.device(1).health.held_slots == HeldSlots(10, 19)
    for _ in range(29):
        process.device(1).leave(READ, 0.0)
    process.watch.look()
    assert process.device(1).health.held_slots is None


def test_slots_are_no_more_than_the_threads_that_the_system_allows(build: Build) -> None:
    process = build(10, 2)
    process.threads.set_count(100)
    process.allowed = 30
    process.pass_time(0)
    assert process.threads.shares == share_out(30, 2)
    process.allowed = 1000
    process.pass_time(0)
    assert process.threads.shares == share_out(100, 2)


def test_device_has_a_slot_though_all_threads_were_refused(build: Build) -> None:
    process = build(10, 1)
    process.allowed = 0
    process.pass_time(0)
    assert process.threads.shares == share_out(1, 1)


def test_hung_threads_without_a_replacement_are_not_shared_again(build: Build) -> None:
    process = build(40, 8)
    for number in (1, 2, 3):
        process.enter(number, 20)
    process.allowed = 40
    process.pass_time(HANGING_S + 1)
    assert process.size() > 40
    for number in range(4, 9):
        process.enter(number, 20)
    assert process.held() == 40
    # They come when the system has them.
    process.allowed = 1000
    process.pass_time(0)
    assert process.held() > 40
