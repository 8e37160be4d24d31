"""The limit of open files is raised as far as possible, with a warning if that is too low."""

from __future__ import annotations

import logging
import os
import resource
from typing import TYPE_CHECKING

import pytest

from mogstored import rlimits

if TYPE_CHECKING:
    from collections.abc import Callable

WARNING = "maxconns is 10000, but only {} files may be open"


class Limits:
    """A fake of the kernel's side of `resource`, with the rules of one system."""

    def __init__(self, soft: int, hard: int, *, root: bool, ceiling: int | None = None) -> None:
        self.now = soft, hard
        self._root = root
        self._ceiling = ceiling

    def get(self, _which: int) -> tuple[int, int]:
        return self.now

    def set(self, _which: int, limits: tuple[int, int]) -> None:
        soft, hard = limits
        if not self._root and hard > self.now[1]:
            raise ValueError("not allowed to raise maximum limit")
        if self._ceiling is not None:
            # As FreeBSD does, without an error.
            soft, hard = min(soft, self._ceiling), min(hard, self._ceiling)
        self.now = soft, hard


@pytest.fixture
def warned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[[Limits], list[str]]:
    def ask(limits: Limits) -> list[str]:
        monkeypatch.setattr(resource, "getrlimit", limits.get)
        monkeypatch.setattr(resource, "setrlimit", limits.set)
        log = logging.getLogger("mogstored")
        monkeypatch.setattr(log, "propagate", True)
        rlimits.raise_open_files(10_000)
        return caplog.messages

    return ask


def test_soft_limit_is_raised(warned: Callable[[Limits], list[str]]) -> None:
    limits = Limits(1024, 20_000, root=False)
    assert warned(limits) == []
    assert limits.now == (10_000, 20_000)


def test_root_raises_the_hard_limit_too(warned: Callable[[Limits], list[str]]) -> None:
    limits = Limits(1024, 4096, root=True)
    assert warned(limits) == []
    assert limits.now == (10_000, 10_000)


def test_others_get_the_hard_limit(warned: Callable[[Limits], list[str]]) -> None:
    limits = Limits(1024, 4096, root=False)
    assert warned(limits) == [WARNING.format(4096)]
    assert limits.now == (4096, 4096)


def test_limit_that_freebsd_cuts_silently_is_reported(
    warned: Callable[[Limits], list[str]],
) -> None:
    limits = Limits(1024, 4096, root=True, ceiling=7000)
    assert warned(limits) == [WARNING.format(7000)]
    assert rlimits.max_open_files() == 7000


def test_nothing_is_lowered(warned: Callable[[Limits], list[str]]) -> None:
    limits = Limits(50_000, 50_000, root=True)
    assert warned(limits) == []
    assert limits.now == (50_000, 50_000)


def test_soft_limit_is_raised_where_there_is_no_hard_one(
    warned: Callable[[Limits], list[str]],
) -> None:
    limits = Limits(1024, resource.RLIM_INFINITY, root=True)
    assert warned(limits) == []
    assert limits.now == (10_000, resource.RLIM_INFINITY)


@pytest.mark.parametrize("soft", [10_000, resource.RLIM_INFINITY])
def test_limit_that_suffices_is_left(
    warned: Callable[[Limits], list[str]], monkeypatch: pytest.MonkeyPatch, soft: int
) -> None:
    limits = Limits(soft, resource.RLIM_INFINITY, root=True)
    monkeypatch.setattr(limits, "set", None)
    assert warned(limits) == []


def test_system_that_grants_nothing_leaves_the_limit(
    warned: Callable[[Limits], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(1024, resource.RLIM_INFINITY, root=True)
    grant = limits.set

    def refuse(which: int, wanted: tuple[int, int]) -> None:
        if wanted[0] > 1024:
            raise ValueError("too many")
        grant(which, wanted)

    monkeypatch.setattr(limits, "set", refuse)
    assert warned(limits) == [WARNING.format(1024)]
    assert limits.now == (1024, resource.RLIM_INFINITY)


def test_no_limit_counts_as_a_million(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (resource.RLIM_INFINITY,) * 2)
    assert rlimits.max_open_files() == 1 << 20


@pytest.mark.parametrize(
    ("kept", "closed"),
    [
        ((), [(3, 100)]),
        ((7, 5), [(3, 5), (6, 7), (8, 100)]),
        ((3,), [(3, 3), (4, 100)]),
        ((200,), [(3, 200), (201, 201)]),
    ],
)
def test_all_but_some_are_closed(
    monkeypatch: pytest.MonkeyPatch, kept: tuple[int, ...], closed: list[tuple[int, int]]
) -> None:
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "closerange", lambda low, high: found.append((low, high)))
    monkeypatch.setattr(rlimits, "max_open_files", lambda: 100)
    rlimits.close_all_but(*kept)
    assert found == closed
