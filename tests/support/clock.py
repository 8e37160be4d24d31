"""A clock that stands still until a test moves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    import pytest


def stop_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType, now: float) -> list[float]:
    """Let `monotonic` of a module return the one item of the list that is returned."""
    found = [now]
    monkeypatch.setattr(module, "monotonic", lambda: found[0])
    return found
