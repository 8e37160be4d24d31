"""The content of /status.json, field by field."""

from __future__ import annotations

import json
import socket
import sys

import pytest

import mogstored
from mogpoll.backends import backend_name
from mogstored.admin.status import describe
from mogstored.admin.view import NodeView
from mogstored.observability.histogram import HTTP_BOUNDS_S, HistogramState
from tests.support.snapshots import FACTS, device, serving_process, snapshot, view

ONE = HistogramState((1, 0, 2, 0, 0, 0, 0, 4), 3.5)


def test_node() -> None:
    counts = tuple(range(len(HTTP_BOUNDS_S) + 1))
    shown = describe(view(snapshot(durations={"GET": HistogramState(counts, 9.0)}, devices=0)))
    process = {"cpu_seconds": 1.5, "resident_bytes": 2**20, "open_files": 9}
    assert json.loads(json.dumps(shown)) == {
        "schema": 1,
        "time": 1_764_000_060.0,
        "node": {
            "hostname": socket.gethostname(),
            "version": mogstored.__version__,
            "python": "{}.{}.{}".format(*sys.version_info),
            "backend": backend_name(),
            "pid": 1,
            "started_at": FACTS.started_at,
            "uptime_seconds": 60.0,
            "state": "serving",
            "ready": False,
            "not_ready_reasons": ["no usable device: none found"],
            "worker_processes": 0,
            "worker_restarts": 0,
            "upgrades": 0,
            "max_open_files": 1024,
            **process,
        },
        "workers": [
            {
                "number": 0,
                "pid": 1,
                "state": "serving",
                "started_at": 1_764_000_000.0,
                "connections": 4,
                "answers": True,
                **process,
            }
        ],
        "listeners": [
            {"kind": "http", "address": "127.0.0.1:7500", "docroot": "/srv"},
            {"kind": "admin", "address": "[::1]:7502", "docroot": None},
        ],
        "connections": {
            "http": {"idle": 3, "active": 0, "waiting": 0},
            "sidechannel": {"idle": 0, "active": 1, "waiting": 0},
        },
        "http": {
            "requests": {"GET": {"200": 5, "404": 2}, "PUT": {"201": 1_234_567}},
            "received_bytes": 5,
            "sent_bytes": 10**12,
            "durations": {
                "GET": {
                    "count": sum(counts),
                    "sum_seconds": 9.0,
                    "buckets": [
                        [bound, sum(counts[: index + 1])]
                        for index, bound in enumerate((*HTTP_BOUNDS_S, None))
                    ],
                }
            },
            "content_md5_mismatches": 1,
        },
        "sidechannel": {"commands": {"size": 2, "other": 1}},
        "threads": {"worker": {"running": 1, "idle": 9}},
        "devices": [],
    }


def of(shown: NodeView) -> dict[str, object]:
    (found,) = describe(shown)["devices"]
    assert isinstance(found, dict)
    return found


def test_device() -> None:
    counters = device(1, wait=ONE, operations={"read": ONE})
    total = snapshot()._replace(devices=(counters,))
    summary = {"count": 7, "sum_seconds": 3.5}
    assert of(view(total)) == {
        "device": "dev1",
        "docroot": "/srv",
        "path": "/srv/dev1",
        "source": "/dev/sd1",
        "state": "ok",
        "state_since": None,
        "size_bytes": 16 * 2**40,
        "available_bytes": 2**30,
        "inodes": 976_000_000,
        "inodes_free": 940_000_001,
        "utilization_ratio": 0.01,
        "utilization_history": [0.5, None],
        "in_flight": 1,
        "waiting": 1,
        "oldest_waiting_seconds": 0.25,
        "errors_total": 2,
        "errors": {"read": {"EIO": 1}, "write": {"ENOSPC": 1}},
        "operations": {"read": summary},
        "wait": summary,
        "scrub": {
            "began_at": 1_764_000_000.0,
            "ended_at": None,
            "files": 1_000_001,
            "read_bytes": 5,
            "mismatches": 1,
            "unreadable": 0,
            "bad_checksums": 1,
            "findings": [
                {
                    "time": 1_764_000_001.5,
                    "path": "/srv/dev1/a",
                    "kind": "mismatch",
                    "expected": "md5 1",
                    "found": "md5 2",
                }
            ],
        },
    }


def test_device_that_is_neither_used_nor_scrubbed() -> None:
    counters = device(1, wait=None, operations={}, errors={}, scrub={}, scrub_times=None)
    shown = of(view(snapshot()._replace(devices=(counters,))))
    assert shown["wait"] == {"count": 0, "sum_seconds": 0.0}
    assert (shown["errors_total"], shown["errors"], shown["operations"]) == (0, {}, {})
    assert shown["scrub"] is None


@pytest.mark.parametrize("times", [(0.0, 0.0), (0.0, 5.0)])
def test_times_of_a_scrub_that_are_not_known(times: tuple[float, float]) -> None:
    shown = of(view(snapshot()._replace(devices=(device(1, scrub_times=times),))))
    assert isinstance(scrub := shown["scrub"], dict)
    assert (scrub["began_at"], scrub["ended_at"]) == (None, times[1] or None)


def test_states_of_threads_that_are_not_counted() -> None:
    threads = {("worker", "idle"): 1, ("other", "running"): 2}
    assert describe(view(snapshot(threads=threads)))["threads"] == {
        "worker": {"running": 0, "idle": 1},
        "other": {"running": 2, "idle": 0},
    }


def test_clock_that_was_set_back_and_a_process_that_has_not_answered() -> None:
    process = serving_process(state="starting", started_at=None, answers=False, connections=0)
    early = view(snapshot(), time=FACTS.started_at - 5, processes=[process])
    shown = describe(early)
    assert shown["node"]["uptime_seconds"] == 0.0
    assert (shown["workers"][0]["started_at"], shown["workers"][0]["answers"]) == (None, False)
    assert shown["node"]["not_ready_reasons"] == ["no process answers"]
