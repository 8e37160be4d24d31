"""Once in a while, and no more often."""

from __future__ import annotations

import pytest

from mogstored import pacing
from mogstored.pacing import Pace


def test_due_once_in_each_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(pacing, "monotonic", lambda: now[0])
    pace = Pace(10.0)
    due = []
    for now[0] in (100.0, 100.0, 109.9, 110.0, 115.0, 300.0, 300.1):
        due.append(pace.is_due())
    assert due == [True, False, False, True, False, True, False]
