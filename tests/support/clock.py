"""A clock that stands still until a test moves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mogstored.log import rate_limit

if TYPE_CHECKING:
    from types import ModuleType

    import pytest

    from mogstored.log.rate_limit import BurstLimiter


def stop_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType, now: float) -> list[float]:
    """Let `monotonic` of a module return the one item of the list that is returned."""
    found = [now]
    monkeypatch.setattr(module, "monotonic", lambda: found[0])
    return found


def stop_clock_of_lines(
    monkeypatch: pytest.MonkeyPatch, now: float, *limits: BurstLimiter
) -> list[float]:
    """Stop the clock of rate limits in that way; `limits`, as they are, have seen no line yet."""
    for limit in limits:
        monkeypatch.setattr(limit, "_full_at", 0.0)
        monkeypatch.setattr(limit, "_skipped", 0)
    return stop_clock(monkeypatch, rate_limit, now)
