"""What an admin process leaves to the one that replaces it."""

from __future__ import annotations

import os

from mogstored.admin.shared_record import SharedRecord
from mogstored.admin.sources import Channel, Sources
from tests.support.admin_rig import Serving
from tests.support.waiting import wait_until


def test_last_record_counts() -> None:
    record = SharedRecord(1000)
    assert record.load() == b""
    for data in (b"first", b"x" * 1000, b"", b"short"):
        record.save(data)
        assert record.load() == data


def test_record_that_is_too_large_leaves_the_one_before() -> None:
    record = SharedRecord(10)
    record.save(b"before")
    record.save(b"x" * 11)
    assert record.load() == b"before"


def test_writer_that_dies_in_the_middle_leaves_the_one_before() -> None:
    record = SharedRecord(10)
    for before in (b"as large as may be"[:10], b"before"):
        record.save(before)
        # All but the last step of a save: a head, and as much as there is room for.
        start = record._places[1 - record._map[0]]
        record._map[start : start + 18] = b"half of what comes"
        assert record.load() == before
    record.save(b"after")
    assert record.load() == b"after"


def test_it_is_shared_with_a_child() -> None:
    record = SharedRecord(1000)
    pid = os.fork()
    if not pid:
        record.save(b"of the child")
        os._exit(0)
    os.waitpid(pid, 0)
    assert record.load() == b"of the child"


def test_counts_of_ended_processes_outlive_the_admin_process() -> None:
    record = SharedRecord()
    sources = Sources(record)
    serving = Serving(0, 1001)
    counted = serving.counters.requests
    channel = Channel(0, 1001, serving.near)
    sources.add(channel)
    channel.cpu_s = 2.5
    sources.own_cpu_s = 0.5
    serving.end()

    def is_over() -> bool:
        channel.receive()
        return channel.is_over

    wait_until(is_over, "the process has ended")
    sources.drop(channel)
    successor = Sources(record)
    assert counted
    assert successor.ended().requests == counted
    assert successor.ended().devices == sources.ended().devices
    assert successor.ended_cpu_s == 3.0
