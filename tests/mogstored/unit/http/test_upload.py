"""How much of a body is taken before others get their turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.devices.device import Devices
from mogstored.devices.shares import SharedSlots, Shares
from mogstored.devices.slots import TURN_S
from mogstored.files.checksums.body_digest import HashingThreads
from mogstored.files.docroot import Docroot
from mogstored.http import upload
from mogstored.http.message.request import Fields, Request
from mogstored.http.upload import Upload

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
ONE_SLOT = Shares(own=1, shared=0, most=1)
# Nothing but what one borrows.
BORROWED = Shares(own=0, shared=4, most=4)


class Clock:
    """The seconds since the test began."""

    def __init__(self) -> None:
        self.now = 0.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Client:
    """Waits for a slot."""

    has_slot = False
    waited_s = 0.0

    def fileno(self) -> int:
        return -1

    def send_ahead(self) -> None:
        """It has no socket."""

    def cancel(self) -> None:
        """It never goes away."""

    def leave_behind(self) -> Callable[[], None]:
        """Neither."""
        return self.cancel


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
            self.docroot, self.let_go_on.append, shares, SharedSlots(shares.shared)
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
            clients=SimpleNamespace(retry_after_relief=lambda work: work()),
            is_unmounted=lambda _path: False,
            draining=self.draining,
            min_free=None,
        )
        session = SimpleNamespace(
            service=service,
            sock=client,
            pending=b"",
            peer=lambda: "",
            has_slot=False,
            waited_s=0.0,
            turn_at=0.0,
        )
        fields = Fields(keep_alive=True, content_length=1 << 40, content_md5=md5)
        upload = Upload(
            cast("Any", session), Request(b"PUT", PATH, fields), self.devices.of(PATH), 0
        )
        try:
            assert upload.advance(cast("Any", session), Buffers()) is Next.READ
        finally:
            upload.abandon()
        assert session.body_received == client.received
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
    monkeypatch.setattr(upload, "monotonic", lambda: clock.now)
    return clock


@pytest.mark.usefixtures("clock")
def test_turn_of_a_plain_body(make_disk: MakeDisk) -> None:
    assert make_disk(ONE_SLOT).take_a_turn(None) == TURN


def test_turns_of_a_hashed_body_follow_each_other_for_a_while(
    make_disk: MakeDisk, clock: Clock
) -> None:
    received = make_disk(ONE_SLOT).take_a_turn(MD5, lambda: clock.pass_by(0.001))
    assert 4 * TURN <= received <= TURN_S / 0.001 * MIB


@pytest.mark.parametrize("md5", [None, MD5], ids=["plain", "hashed"])
def test_turn_on_a_slow_disk_ends_with_its_time(
    make_disk: MakeDisk, clock: Clock, md5: bytes | None
) -> None:
    assert make_disk(ONE_SLOT).take_a_turn(md5, lambda: clock.pass_by(0.06)) <= MIB


@pytest.mark.usefixtures("clock")
def test_one_turn_where_no_thread_hashes(make_disk: MakeDisk) -> None:
    assert make_disk(ONE_SLOT, threads=0).take_a_turn(MD5) == TURN


@pytest.mark.usefixtures("clock")
def test_one_turn_when_somebody_waits_for_the_disk(make_disk: MakeDisk) -> None:
    disk, client = make_disk(ONE_SLOT), Client()
    came: list[bool] = []

    def come() -> None:
        if not came:
            came.append(disk.devices.of(PATH).enter(client))

    assert disk.take_a_turn(MD5, come) == TURN
    assert came == [False]
    assert disk.let_go_on == [client]


@pytest.mark.usefixtures("clock")
def test_one_turn_when_the_slot_is_borrowed(make_disk: MakeDisk) -> None:
    assert make_disk(BORROWED).take_a_turn(MD5) == TURN


@pytest.mark.usefixtures("clock")
def test_one_turn_when_the_node_stops(make_disk: MakeDisk) -> None:
    disk = make_disk(ONE_SLOT)
    disk.draining = True
    assert disk.take_a_turn(MD5) == TURN
