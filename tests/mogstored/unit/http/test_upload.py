"""How much of a body is taken before others get their turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogpoll import Next
from mogstored.connection import Workspace
from mogstored.http import put
from mogstored.http.body_md5 import HashingThreads
from mogstored.http.put import Upload
from mogstored.http.request import Fields, Request
from mogstored.storage.device import Devices
from mogstored.storage.docroot import Docroot
from mogstored.storage.shares import Lent, Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Protocol

    class MakeDisk(Protocol):
        def __call__(self, shares: Shares, threads: int = 1) -> Disk: ...


MIB = 1024 * 1024
TURN = 4 * MIB
PATH = b"dev1/a"
MD5 = b"AAAAAAAAAAAAAAAAAAAAAA=="
ONE_SLOT = Shares(own=1, lent=0, most=1)
# Nothing but what one borrows.
BORROWED = Shares(own=0, lent=4, most=4)


class Clock:
    """The seconds since the test began."""

    def __init__(self) -> None:
        self.now = 0.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Customer:
    """Waits for a slot."""

    has_slot = False

    def fileno(self) -> int:
        return -1

    def forget(self) -> None:
        """It never goes away."""


class EndlessClient:
    """A socket that always has something; `meanwhile` happens with each receiving."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = meanwhile
        self.received = 0

    def recv_into(self, _buffer: memoryview, size: int) -> int:
        self._meanwhile()
        self.received += size
        return size


class Disk:
    """A docroot with one device, and threads that hash."""

    def __init__(self, path: Path, shares: Shares, threads: int) -> None:
        (path / "dev1").mkdir()
        self.docroot = Docroot(str(path))
        self.hashing = HashingThreads(threads)
        self.draining = False
        self.let_go_on: list[object] = []
        self.devices = Devices(
            self.docroot.fileno(), self.let_go_on.append, shares, Lent(shares.lent)
        )

    def close(self) -> None:
        self.hashing.stop()
        self.docroot.close()

    def take_a_turn(
        self, md5: bytes | None, meanwhile: Callable[[], object] = lambda: None
    ) -> int:
        """Have an endless body received; return how many bytes one step takes of it."""
        client = EndlessClient(meanwhile)
        service = SimpleNamespace(
            docroot=self.docroot,
            devices=self.devices,
            hashing=self.hashing,
            clients=SimpleNamespace(retried=lambda work: work()),
            is_unmounted=lambda _path: False,
            draining=self.draining,
        )
        session = SimpleNamespace(
            service=service, sock=client, pending=b"", peer=lambda: "", has_slot=False
        )
        fields = Fields(keep_alive=True, content_length=1 << 40, content_md5=md5)
        upload = Upload(cast("Any", session), Request(b"PUT", PATH, 1, fields), 0)
        try:
            assert upload.advance(cast("Any", session), Workspace()) is Next.READ
        finally:
            upload.abandon()
        return client.received


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """A factory of the one disk there is; the temporary file of an upload has gone then."""
    made: list[Disk] = []

    def make(shares: Shares, threads: int = 1) -> Disk:
        made.append(Disk(tmp_path, shares, threads))
        return made[-1]

    yield make
    for disk in made:
        disk.close()
    assert not list((tmp_path / "dev1").iterdir())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time, which stands still unless the test lets it go by."""
    clock = Clock()
    monkeypatch.setattr(put, "monotonic", lambda: clock.now)
    return clock


def test_turn_of_a_plain_body(make_disk: MakeDisk) -> None:
    assert make_disk(ONE_SLOT).take_a_turn(None) == TURN


def test_turns_of_a_hashed_body_follow_each_other_for_a_while(
    make_disk: MakeDisk, clock: Clock
) -> None:
    received = make_disk(ONE_SLOT).take_a_turn(MD5, lambda: clock.pass_by(0.002))
    assert 4 * TURN <= received <= 0.1 / 0.002 * MIB


def test_slow_disk_has_one_turn(make_disk: MakeDisk, clock: Clock) -> None:
    assert make_disk(ONE_SLOT).take_a_turn(MD5, lambda: clock.pass_by(0.06)) == TURN


@pytest.mark.usefixtures("clock")
def test_one_turn_where_no_thread_hashes(make_disk: MakeDisk) -> None:
    assert make_disk(ONE_SLOT, threads=0).take_a_turn(MD5) == TURN


@pytest.mark.usefixtures("clock")
def test_one_turn_when_somebody_waits_for_the_disk(make_disk: MakeDisk) -> None:
    disk, customer = make_disk(ONE_SLOT), Customer()
    came: list[bool] = []

    def come() -> None:
        if not came:
            came.append(disk.devices.of(PATH).enter(customer))

    assert disk.take_a_turn(MD5, come) == TURN
    assert came == [False]
    assert disk.let_go_on == [customer]


@pytest.mark.usefixtures("clock")
def test_one_turn_when_the_slot_is_borrowed(make_disk: MakeDisk) -> None:
    assert make_disk(BORROWED).take_a_turn(MD5) == TURN


@pytest.mark.usefixtures("clock")
def test_one_turn_when_the_node_stops(make_disk: MakeDisk) -> None:
    disk = make_disk(ONE_SLOT)
    disk.draining = True
    assert disk.take_a_turn(MD5) == TURN
