"""When a client that reads slowly can be sent away: not before it could ask again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from mogstored.connections import connection as base
from mogstored.http import connection
from mogstored.http.dispatch import HTTPSession

if TYPE_CHECKING:
    import socket

    from mogstored.service import Service


class Reader:
    """What TCP knows of a client that reads slowly, on a clock that is worked by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, counts_acks: bool) -> None:
        self.now = 1000.0
        self.left = 0
        self.acknowledged_at = 1000.0
        sock = cast("socket.socket", None)
        self.session = HTTPSession(
            sock, cast("Service", SimpleNamespace(clients=None, access_log=None, number=0))
        )
        self.session.active_at = self.now
        monkeypatch.setattr(connection, "undelivered", lambda _: self.left)
        monkeypatch.setattr(connection, "acknowledged_ms", lambda _: self._ms(counts_acks))
        for module in (connection, base):
            monkeypatch.setattr(module, "monotonic", lambda: self.now)

    def _ms(self, counts_acks: bool) -> int | None:
        return int((self.now - self.acknowledged_at) * 1000) if counts_acks else None


@pytest.mark.parametrize("counts_acks", [True, False], ids=["Linux", "BSD"])
def test_time_that_a_slow_reader_has(monkeypatch: pytest.MonkeyPatch, counts_acks: bool) -> None:
    reader = Reader(monkeypatch, counts_acks=counts_acks)
    reader.left = 1
    for _ in range(10):
        reader.now = reader.acknowledged_at = reader.now + 1.0
        assert not reader.session.is_settled()
    reader.left = 0
    # What is in its own system takes as long again.
    settled = []
    for _ in range(25):
        reader.now += 1.0
        settled.append(reader.session.is_settled())
    assert settled == sorted(settled)
    assert settled.count(False) == 20


def test_client_whose_network_has_gone_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(monkeypatch, counts_acks=True)
    reader.left = 1
    for reader.now, settled in ((1059.0, False), (1060.0, False), (1060.03, True)):
        assert reader.session.is_settled() is settled


def test_client_that_took_less_than_a_second_has_twice_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = Reader(monkeypatch, counts_acks=True)
    reader.acknowledged_at = 1000.9
    for reader.now, settled in ((1002.0, False), (1002.6, False), (1002.8, True)):
        assert reader.session.is_settled() is settled


def test_client_that_took_long_has_a_minute_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(monkeypatch, counts_acks=True)
    reader.acknowledged_at = 1040.0
    for reader.now, settled in ((1050.0, False), (1060.0, False), (1060.5, True)):
        assert reader.session.is_settled() is settled
