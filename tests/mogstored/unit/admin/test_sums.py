"""Counters of several processes, added up."""

from __future__ import annotations

import pytest

from mogstored.admin import sums
from mogstored.observability.histogram import HistogramState
from tests.support.snapshots import NOTHING, device, snapshot

ONE = HistogramState((1, 0, 0, 0, 0, 0, 0, 2), 3.5)
TWO = HistogramState((2, 0, 0, 0, 0, 0, 0, 4), 7.0)


def test_one_process_is_its_own_sum() -> None:
    alone = snapshot(devices=3)
    total = sums.total(NOTHING, [alone])
    assert total.devices == alone.devices
    assert total.requests == alone.requests
    assert total.durations == alone.durations


def test_counts_are_added() -> None:
    one = snapshot(requests={"GET": {200: 1}}, commands={"size": 1}, received_bytes=1)
    other = snapshot(requests={"GET": {200: 2, 404: 3}, "PUT": {201: 4}}, received_bytes=2)
    total = sums.total(NOTHING, [one, other])
    assert total.requests == {"GET": {200: 3, 404: 3}, "PUT": {201: 4}}
    assert total.received_bytes == 3
    assert total.commands == {"size": 3, "other": 1}
    assert total.connections == {("http", "idle"): 6, ("sidechannel", "active"): 2}


def test_histograms_are_added_by_bucket() -> None:
    one = snapshot(durations={"GET": ONE}, devices=0)
    one = one._replace(devices=(device(1, wait=ONE, operations={"read": ONE}),))
    other = one._replace(devices=(device(1, wait=None, operations={"read": ONE, "write": ONE}),))
    total = sums.total(NOTHING, [one, other])
    assert total.durations == {"GET": TWO}
    (both,) = total.devices
    assert (both.wait, both.operations) == (ONE, {"read": TWO, "write": ONE})


def test_device_of_several_processes() -> None:
    one = device(1, state="ok", size_bytes=None, utilization=None, oldest_wait_s=1.0, in_flight=1)
    other = device(1, state="hung", size_bytes=5, utilization=0.5, oldest_wait_s=2.0, in_flight=2)
    (both,) = sums.total(
        NOTHING, [snapshot()._replace(devices=(each,)) for each in (one, other)]
    ).devices
    assert (both.state, both.size_bytes, both.utilization) == ("hung", 5, 0.5)
    assert (both.oldest_wait_s, both.in_flight) == (2.0, 3)
    assert both.errors == {("read", "EIO"): 2, ("write", "ENOSPC"): 2}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["ok", "read-only"], "read-only"),
        (["read-only", "hung", "ok"], "hung"),
        (["unmounted", "failed"], "failed"),
        (["failed", "hung", "unmounted"], "hung"),
        (["ok", "of another version", "unmounted"], "of another version"),
    ],
)
def test_worst_state_counts(states: list[str], expected: str) -> None:
    assert sums.worst(states) == expected


def test_counts_of_ended_processes_stay() -> None:
    ended = sums.remember(NOTHING, snapshot(devices=2))
    ended = sums.remember(ended, snapshot(devices=2))
    total = sums.total(ended, [snapshot(devices=2)])
    once = snapshot(devices=2)
    assert total.requests["GET"] == {200: 15, 404: 6}
    assert total.sent_bytes == 3 * once.sent_bytes
    assert total.devices[0].errors == {("read", "EIO"): 3, ("write", "ENOSPC"): 3}
    assert total.devices[1].wait is not None
    assert once.devices[1].wait is not None
    assert total.devices[1].wait.counts == tuple(3 * each for each in once.devices[1].wait.counts)


def test_what_was_in_progress_ends_with_its_process() -> None:
    ended = sums.remember(NOTHING, snapshot())
    assert (ended.connections, ended.threads) == ({}, {})
    assert sums.total(ended, [snapshot()]).devices[0].in_flight == device(1).in_flight


def test_device_that_was_removed_is_not_shown_and_not_forgotten() -> None:
    ended = sums.remember(NOTHING, snapshot(devices=2))
    assert [each.device for each in sums.total(ended, [snapshot(devices=1)]).devices] == ["dev1"]
    back = sums.total(ended, [snapshot(devices=2)]).devices[1]
    assert back.errors == {("read", "EIO"): 4, ("write", "ENOSPC"): 2}


def test_without_a_process_it_is_as_the_last_one_said() -> None:
    ended = sums.remember(NOTHING, snapshot(devices=2))
    total = sums.total(ended, [])
    assert [each.state for each in total.devices] == ["ok", "ok"]
    assert total.requests == snapshot().requests
