"""Threads on which a node depends go on after an error: each is started as one that lasts."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from mogstored import keyed_jobs, observer
from mogstored.connections import lingering_close
from mogstored.utilization import iostat_feed, sampled_feed, watchers

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_ANY: Any = object()


def _nothing(*_: object) -> Any:
    return None


def _sampled(_: socket.socket) -> None:
    sampled_feed.SampledFeed(_nothing, decimals=2).start(_nothing)


def _observer(sock: socket.socket) -> None:
    observer.Observer(sock, bytes).start()


@pytest.mark.parametrize(
    ("module", "start", "name"),
    [
        (
            lingering_close,
            lambda _: lingering_close.LingeringClose(_ANY, 1.0).start(),
            "lingering",
        ),
        (watchers, lambda _: watchers.Watchers(_ANY, _ANY).start(), "watchers"),
        (iostat_feed, lambda _: iostat_feed.IostatFeed("true").start(_nothing), "iostat"),
        (sampled_feed, _sampled, "utilization"),
        (keyed_jobs, lambda _: keyed_jobs.KeyedJobs("jobs", _nothing, _nothing).start(), "jobs"),
        (observer, _observer, "observer"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_thread_of_a_node_lasts(
    module: ModuleType,
    start: Callable[[socket.socket], None],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[tuple[str, bool]] = []

    def note(_run: object, name: str, *, lasting: bool = False) -> Any:
        started.append((name, lasting))
        return _ANY

    monkeypatch.setattr(module, "start_thread", note)
    with socket.socket() as sock:
        start(sock)
    ((shown, lasts),) = started
    assert shown.startswith(name)
    assert lasts
