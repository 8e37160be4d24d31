"""What is asked of a device's space, and what a client and the log get when there is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call

import pytest

from mogstored.config.values.free_space import parse_min_free
from mogstored.http import room
from mogstored.http.message.request import BadRequest
from mogstored.log import rate_limit
from tests.support.clock import stop_clock

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_FREE = parse_min_free("10G")
TIGHT = 2**30


class _Device(SimpleNamespace):
    def __str__(self) -> str:
        return "dev1"


class Rig:
    """A connection to a device whose space answers what the test has it answer."""

    def __init__(self, left: int | None) -> None:
        self.space = Mock()
        self.space.promise.return_value = self.space.take.return_value = left
        self.space.available.return_value = 5 * 2**20 + 1
        self.device: Any = _Device(
            path="/srv/dev1", label="dev1", usage=SimpleNamespace(space=self.space)
        )
        self.service: Any = SimpleNamespace(min_free=MIN_FREE, inventory=Mock())
        self.connection: Any = SimpleNamespace(service=self.service, peer=lambda: "10.0.0.7:9")

    @property
    def looks(self) -> int:
        found: int = self.service.inventory.look_soon.call_count
        return found

    def claim(self, size: int | None = 50) -> room.Claim:
        found = room.claim(self.connection, self.device, b"dev1/a", size)
        assert found is not None
        return found

    def take(self) -> None:
        room.take(self.connection, self.device, b"dev1/a", 50)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the limit on lines, which has not seen anything yet."""
    monkeypatch.setattr(room._lines, "_seen", {})
    return stop_clock(monkeypatch, rate_limit, 1000.0)


def test_nothing_is_asked_where_nothing_has_to_stay_free() -> None:
    rig = Rig(-1)
    rig.service.min_free = None
    assert room.claim(rig.connection, rig.device, b"dev1/a", 50) is None
    rig.take()
    room.note_removed(rig.service, rig.device)
    assert rig.space.mock_calls == []


@pytest.mark.parametrize("way", [Rig.claim, Rig.take])
@pytest.mark.parametrize(("left", "looks"), [(None, 0), (TIGHT, 0), (TIGHT - 1, 1), (0, 1)])
def test_device_with_little_room_is_looked_at(
    way: Callable[[Rig], object], left: int | None, looks: int
) -> None:
    rig = Rig(left)
    way(rig)
    assert rig.looks == looks
    room.note_removed(rig.service, rig.device)
    assert rig.looks == 2 * looks
    assert rig.space.take.mock_calls[-1] == call(0, MIN_FREE)
    rig.service.inventory = None
    way(rig)


@pytest.mark.parametrize("way", [Rig.claim, Rig.take])
def test_refusal(
    way: Callable[[Rig], object], now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(-1)
    for _ in range(3):
        with pytest.raises(BadRequest) as refused:
            way(rig)
        assert refused.value.status == 507
    line = "PUT /dev1/a from 10.0.0.7:9 refused: dev1 must keep 10G free, and has 5 MiB"
    assert caplog.messages == [line]
    (record,) = caplog.records
    said = {name: getattr(record, name) for name in ("device", "path", "client", "operation")}
    assert said == {
        "device": "dev1",
        "path": "/dev1/a",
        "client": "10.0.0.7:9",
        "operation": "write",
    }
    assert rig.looks == 3
    now[0] += 10.0
    with pytest.raises(BadRequest):
        way(rig)
    assert caplog.messages[1:] == [f"{line}; 2 more of this device since the last such line"]


def test_claim_of_a_known_size_is_used_up_or_given_up_once() -> None:
    rig = Rig(TIGHT)
    claim = rig.claim(50)
    rig.space.promise.assert_called_once_with(50, MIN_FREE)
    claim.note(20)
    claim.note(5)
    claim.release()
    claim.release()
    assert rig.space.keep.mock_calls == [call(20), call(5)]
    assert rig.space.release.mock_calls == [call(25)]
    assert not rig.space.take.called


def test_claim_that_is_used_up_has_nothing_to_give_up() -> None:
    rig = Rig(TIGHT)
    claim = rig.claim(50)
    claim.note(50)
    claim.release()
    assert not rig.space.release.called


def test_claim_of_an_unknown_size_asks_as_it_goes(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(0)
    claim = rig.claim(None)
    rig.space.promise.assert_called_once_with(0, MIN_FREE)
    claim.note(20)
    rig.space.take.assert_called_once_with(20, MIN_FREE)
    rig.space.take.return_value = -1
    with pytest.raises(BadRequest) as refused:
        claim.note(1)
    assert refused.value.status == 507
    assert len(caplog.messages) == 1
    claim.release()
    assert not rig.space.release.called
    assert not rig.space.keep.called
