"""Random operations on a poller and on a small model of it must agree.

The model keeps, for each descriptor, what it is armed for and which directions are or have been
ready since. Armed and ready descriptors must be reported; those that were ready may be, since
readiness is a hint; no other may be, and none twice.

HYPOTHESIS_PROFILE=long runs many more and longer examples.
"""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mogpoll import AlreadyRegistered, BadDescriptor, Event, Interest, NotRegistered, Readiness
from tests.mogpoll.backends import parameters
from tests.mogpoll.model_runs import MARKS, PROFILE
from tests.support.sockets import drain, fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.mogpoll.backends import Backend

pytestmark = MARKS

READ, WRITE = Interest.READ, Interest.WRITE
DIRECTIONS = (READ, WRITE)
REPORTED_AS = {READ: Readiness.READABLE, WRITE: Readiness.WRITABLE}

# Far above the numbers that the system gives out, so that while one is free, no other slot and no
# poller gets it.
FIRST_NUMBER = 200

receivers = ThreadPoolExecutor(4, "wait")


class Slot:
    """A descriptor number, its modelled state, and the sockets that produce it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.registered = False
        self.armed: Interest | None = None
        # Directions that were ready since the last event that reported them.
        self.was_ready: set[Interest] = set()
        self._begin()

    def _begin(self) -> None:
        near, self.far = socket.socketpair()
        with near:
            os.dup2(near.fileno(), self.fd, inheritable=False)
        self.near = socket.socket(fileno=self.fd)
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.is_open, self.is_stale = True, False
        self.unread = self.full = self.half_closed = self.peer_closed = False
        self.note()

    @property
    def ready(self) -> set[Interest]:
        if not self.is_open:
            return set()
        readable = self.unread or self.half_closed or self.peer_closed
        writable = not self.full or self.peer_closed
        return {way for way, is_so in zip(DIRECTIONS, (readable, writable), strict=True) if is_so}

    def note(self) -> None:
        self.was_ready |= self.ready

    def armed_for(self, way: Interest) -> bool:
        return self.armed is not None and bool(self.armed & way)

    @property
    def must_be_reported(self) -> bool:
        # A registration that was closed or reused may be reported or not.
        return not self.is_stale and any(self.armed_for(way) for way in self.ready)

    @property
    def may_be_reported(self) -> bool:
        return any(self.armed_for(way) for way in self.was_ready)

    def take(self, event: Event) -> None:
        """Check that the event agrees with the model, and disarm."""
        assert self.may_be_reported, f"{event} of {self.armed!r}, ready {self.ready}"
        assert event.readiness
        for way in DIRECTIONS:
            if event.readiness & REPORTED_AS[way]:
                assert self.armed_for(way), f"{event}, asked for {self.armed!r}"
                self.was_ready.discard(way)
        self.armed = None
        self.note()

    def close(self) -> None:
        self.near.close()
        self.far.close()
        self.is_open, self.is_stale = False, self.registered

    def reuse(self) -> None:
        """Reuse the number for a new socket pair."""
        was_stale = self.is_stale
        if not self.registered:
            self.was_ready.clear()
        self._begin()
        self.is_stale = was_stale


class PollerMachine(RuleBasedStateMachine):
    """Each rule changes the sockets or the poller, and the model alike."""

    backend: Backend

    def __init__(self) -> None:
        super().__init__()
        self.poller = self.backend.open()
        self.slots = [Slot(FIRST_NUMBER + at) for at in range(4)]

    def teardown(self) -> None:
        try:
            self._take_all()
            for slot in self.slots:
                if slot.registered:
                    self.poller.forget(slot.fd)
            assert self.poller.wait(0) is None
        finally:
            for slot in self.slots:
                slot.near.close()
                slot.far.close()
            self.poller.close()

    slot = st.integers(0, 3)
    interest = st.sampled_from(Interest)

    # The poller

    @rule(at=slot, interest=interest)
    def add(self, at: int, interest: Interest) -> None:
        slot = self.slots[at]
        if slot.registered:
            self._is_refused(AlreadyRegistered, lambda: self.poller.add(slot.fd, interest))
        elif not slot.is_open:
            self._is_refused(BadDescriptor, lambda: self.poller.add(slot.fd, interest))
        else:
            self.poller.add(slot.fd, interest)
            slot.registered, slot.armed, slot.is_stale = True, interest, False
            slot.was_ready = slot.ready

    @rule(at=slot, interest=interest)
    def rearm(self, at: int, interest: Interest) -> None:
        slot = self.slots[at]
        if not slot.registered:
            self._is_refused(NotRegistered, lambda: self.poller.rearm(slot.fd, interest))
        elif not slot.is_open:
            self._is_refused(BadDescriptor, lambda: self.poller.rearm(slot.fd, interest))
            slot.armed = None
        elif not slot.is_stale:
            self.poller.rearm(slot.fd, interest)
            slot.armed = interest

    @rule(at=slot)
    def forget(self, at: int) -> None:
        slot = self.slots[at]
        if not slot.registered:
            self._is_refused(NotRegistered, lambda: self.poller.forget(slot.fd))
            return
        self.poller.forget(slot.fd)
        slot.registered, slot.armed, slot.is_stale = False, None, False

    @rule()
    def wait(self) -> None:
        event = self.poller.wait(0)
        if event is None:
            assert not self._expected(), "an event was lost"
        else:
            self._slot_of(event).take(event)

    @rule(threads=st.integers(2, 4))
    def wait_together(self, threads: int) -> None:
        """A thread that polls while another receives may get None."""
        waits = [receivers.submit(self.poller.wait, 0) for _ in range(threads)]
        for event in [wait.result(20) for wait in waits]:
            if event is not None:
                self._slot_of(event).take(event)

    @precondition(lambda self: self._expected())
    @rule(threads=st.integers(1, 4))
    def sleep_together(self, threads: int) -> None:
        """Events that must come end as many waits."""
        count = min(threads, len(self._expected()))
        waits = [receivers.submit(self.poller.wait, 20) for _ in range(count)]
        for event in [wait.result(25) for wait in waits]:
            assert event is not None, "an event was lost"
            self._slot_of(event).take(event)

    @rule(at=slot, interest=interest)
    def rearm_and_wait(self, at: int, interest: Interest) -> None:
        slot = self.slots[at]
        if slot.registered and slot.is_open and not slot.is_stale:
            self.poller.rearm(slot.fd, interest)
            event = self.poller.wait(0)
            slot.armed = interest
            if event is None:
                assert not self._expected(), "an event was lost"
            else:
                self._slot_of(event).take(event)

    # The sockets

    @rule(at=slot)
    def write(self, at: int) -> None:
        slot = self.slots[at]
        if slot.is_open and not (slot.half_closed or slot.peer_closed):
            slot.far.send(b"a")
            slot.unread = True
            slot.note()

    @rule(at=slot)
    def drain(self, at: int) -> None:
        slot = self.slots[at]
        if slot.is_open:
            try:
                drain(slot.near)
            except ConnectionResetError:
                assert slot.peer_closed
            slot.unread = False

    @rule(at=slot)
    def fill(self, at: int) -> None:
        slot = self.slots[at]
        if slot.is_open and not slot.peer_closed:
            fill(slot.near)
            slot.full = True

    @rule(at=slot)
    def make_room(self, at: int) -> None:
        slot = self.slots[at]
        if slot.is_open and not slot.peer_closed:
            drain(slot.far)
            slot.full = False
            slot.note()

    @rule(at=slot)
    def half_close(self, at: int) -> None:
        slot = self.slots[at]
        if slot.is_open and not slot.peer_closed:
            slot.far.shutdown(socket.SHUT_WR)
            slot.half_closed = True
            slot.note()

    @rule(at=slot)
    def close_peer(self, at: int) -> None:
        slot = self.slots[at]
        if slot.is_open:
            slot.far.close()
            slot.peer_closed = True
            slot.note()

    @rule(at=slot, forget_first=st.booleans())
    def close(self, at: int, forget_first: bool) -> None:
        slot = self.slots[at]
        if slot.is_open:
            if forget_first and slot.registered:
                self.forget(at)
            slot.close()

    @rule(at=slot)
    def reuse(self, at: int) -> None:
        if not self.slots[at].is_open:
            self.slots[at].reuse()

    def _expected(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.must_be_reported]

    def _slot_of(self, event: Event) -> Slot:
        (found,) = [slot for slot in self.slots if slot.fd == event.fd]
        return found

    def _take_all(self) -> None:
        while event := self.poller.wait(0):
            self._slot_of(event).take(event)
        assert not self._expected(), "an event was lost"

    def _is_refused(self, kind: type[OSError], call: Callable[[], object]) -> None:
        with pytest.raises(kind):
            call()


def machine_for(backend: Backend) -> type[PollerMachine]:
    return type(f"PollerMachineOn{backend.name.title()}", (PollerMachine,), {"backend": backend})


@pytest.mark.parametrize("machine_backend", parameters())
def test_poller_agrees_with_its_model(machine_backend: Backend) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call,unused-ignore]
        machine_for(machine_backend), settings=PROFILE
    )
