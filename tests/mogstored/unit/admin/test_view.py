"""Readiness, health, and what is remembered between two views."""

from __future__ import annotations

import os

import pytest

from mogstored.admin import view as module
from mogstored.admin.control import DRAINING, SERVING, STARTING, ListenerFacts
from mogstored.admin.sources import Channel, Sources
from mogstored.admin.status import describe
from mogstored.admin.view import SILENCE_S, History, NodeView, Usage, look, measure
from mogstored.observability.snapshot import DeviceSnapshot
from mogstored.rlimits import max_open_files
from tests.support.admin_rig import Serving
from tests.support.clock import stop_clock
from tests.support.snapshots import FACTS, NOTHING, device, serving_process, snapshot, view


def with_states(*states: str) -> NodeView:
    devices = tuple(device(number, state=state) for number, state in enumerate(states, 1))
    return view(snapshot()._replace(devices=devices))


@pytest.mark.parametrize(
    ("states", "reasons"),
    [
        (["ok"], []),
        (["read-only"], []),
        (["hung", "ok"], []),
        ([], ["no usable device: none found"]),
        (["hung"], ["no usable device: 1 hung"]),
        (["hung", "failed", "hung"], ["no usable device: 2 hung, 1 failed"]),
    ],
)
def test_node_is_ready_with_a_usable_device(states: list[str], reasons: list[str]) -> None:
    assert with_states(*states).not_ready_reasons == reasons


@pytest.mark.parametrize("state", [STARTING, DRAINING])
def test_node_is_not_ready_before_and_after_it_serves(state: str) -> None:
    shown = view(snapshot(), facts=FACTS._replace(state=state))
    assert shown.not_ready_reasons == [state]
    assert shown.sick_reason is None


def test_node_is_not_ready_while_no_process_answers() -> None:
    shown = view(
        snapshot(), processes=[serving_process(answers=False), serving_process(answers=False)]
    )
    assert shown.not_ready_reasons == ["no process answers"]
    assert shown.sick_reason is None


def test_node_is_sick_when_all_processes_are_silent() -> None:
    silent = serving_process(answers=False, silent_s=SILENCE_S + 1)
    assert view(snapshot(), processes=[silent, serving_process()]).sick_reason is None
    reason = view(snapshot(), processes=[silent, silent]).sick_reason
    assert reason == "no serving process has answered for 10 s"


def test_docroot_whose_name_is_no_text_is_shown_as_text() -> None:
    docroot = os.fsdecode(b"/srv/\xff")
    facts = FACTS._replace(listeners=(ListenerFacts("http", "127.0.0.1:7500", docroot),))
    shown = describe(look(facts, Sources(), History()))
    assert shown["listeners"][0]["docroot"] == r"/srv/\xff"


def test_utilization_is_kept_by_the_second() -> None:
    history = History()
    for now, ratio in ((100.1, 0.1), (101.2, 0.2), (101.9, 0.3), (104.0, 0.4)):
        history.note([device(1, utilization=ratio)], now)
    assert history.ratios(device(1)) == [0.1, 0.3, None, None, 0.4]


def test_utilization_is_kept_for_a_minute() -> None:
    history = History()
    for second in range(120):
        history.note([device(1, utilization=float(second))], second)
    assert history.ratios(device(1)) == [float(each) for each in range(60, 120)]
    history.note([device(1, utilization=1.0)], 10**6)
    assert history.ratios(device(1)) == [None] * 59 + [1.0]


def test_clock_that_is_set_back_loses_nothing() -> None:
    history = History()
    history.note([device(1, utilization=0.1)], 1000.0)
    history.note([device(1, utilization=0.2)], 10.0)
    history.note([device(1, utilization=0.3)], 11.0)
    assert history.ratios(device(1)) == [0.2, 0.3]


def test_beginning_of_a_state_is_known_once_it_was_seen() -> None:
    history = History()
    history.note([device(1, state="hung")], 5.0)
    assert history.since(device(1)) is None
    history.note([device(1, state="ok")], 7.0)
    history.note([device(1, state="ok")], 9.0)
    assert history.since(device(1)) == 7.0


def test_device_that_has_gone_is_forgotten() -> None:
    history = History()
    history.note([device(1)], 5.0)
    history.note([device(2)], 6.0)
    assert history.ratios(device(1)) == []


class FixedSources(Sources):
    """Without channels, and with these devices."""

    def __init__(self, *devices: DeviceSnapshot) -> None:
        super().__init__()
        self._ended = NOTHING._replace(devices=devices).encode()


def test_devices_of_one_name_are_distinguished_by_their_paths() -> None:
    devices = device(1), device(2), device(1, docroot="/b", path="/b/dev1")
    shown = look(FACTS, FixedSources(*devices), History())
    assert [each.label for each in shown.devices] == ["/srv/dev1", "dev2", "/b/dev1"]


def test_name_that_is_no_text_is_shown_all_the_same() -> None:
    path = os.fsdecode(b"/srv/\xff/dev1")
    shown = look(FACTS, FixedSources(device(1, path=path)), History())
    assert shown.devices[0].counters.path == r"/srv/\xff/dev1"


def test_processes_that_have_ended_take_nothing() -> None:
    gone = 2**22 + 1
    shown = look(FACTS._replace(pid=gone), FixedSources(), History())
    assert shown.usage.open_files > 0, "this process"
    assert shown.max_open_files == 2 * max_open_files()
    assert measure(gone) == Usage()


@pytest.mark.parametrize(
    ("leader", "processes"), [(os.getppid(), 3), (os.getpid(), 2)], ids=["another", "the same"]
)
def test_usage_is_that_of_all_processes(
    monkeypatch: pytest.MonkeyPatch, leader: int, processes: int
) -> None:
    """This one, one that serves, and the leading one, which may be the one that serves."""
    sources = Sources()
    stop_clock(monkeypatch, module, 1000.0)
    monkeypatch.setattr(module, "measure", lambda pid: Usage(1.0, 10, 100, 1000))
    monkeypatch.setattr(module, "_measure_self", lambda: Usage(5.0, 50, 500, 5000))
    serving = Serving(2, os.getpid())
    with serving.near:
        channel = Channel(2, os.getpid(), serving.near)
        channel.answered_at = 993.0
        channel.cpu_s = 1.5
        sources.add(channel)
        sources.ended_cpu_s, sources.own_cpu_s = 0.25, 4.0
        shown = look(FACTS._replace(pid=leader), sources, History())
        (process,) = shown.processes
        assert (process.number, process.pid, process.state) == (2, os.getpid(), STARTING)
        assert (process.started_at, process.connections, process.answers) == (None, 0, False)
        # The time of a processor never falls.
        assert (process.silent_s, process.usage) == (7.0, Usage(1.5, 10, 100, 1000))
        others = processes - 2
        assert shown.usage == Usage(
            0.25 + 5.0 + 1.5 + others, 60 + 10 * others, 600 + 100 * others, 6000 + 1000 * others
        )
        assert shown.max_open_files == processes * max_open_files()
        assert sources.own_cpu_s == 5.0
        channel.ask()
        assert look(FACTS, sources, History()).processes[0].answers is False
        serving.end()
        channel.receive()
        process = look(FACTS, sources, History()).processes[0]
        assert (process.started_at, process.state) == (serving.counters.started_at, SERVING)
        assert (process.connections, process.answers) == (4, True)
