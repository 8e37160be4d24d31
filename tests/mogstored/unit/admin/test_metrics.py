"""Each metric of the node has its name, its labels and its value."""

from __future__ import annotations

import sys

import mogstored
from mogpoll.backends import backend_name
from mogstored.admin.metrics import HTTP_BUCKETS, known_states, node_families
from mogstored.admin.sums import STATES
from mogstored.admin.view import Usage
from mogstored.observability.histogram import HTTP_BOUNDS_S
from tests.support.snapshots import FACTS, device, histogram, serving_process, snapshot, view

SHOWN = view(
    snapshot(durations={"GET": histogram(1, HTTP_BOUNDS_S)}, access_log_dropped=11),
    facts=FACTS._replace(worker_restarts=2, upgrades=3),
    processes=[serving_process(), serving_process()],
    usage=Usage(cpu_s=2.5, resident_bytes=6, virtual_bytes=7, open_files=8),
)


def test_values_of_the_node() -> None:
    families = [each for each in node_families(SHOWN) if each.type != "histogram"]
    assert all(each.documentation.endswith(".") for each in families)
    assert {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    } == {
        (
            "mogstored_build_info",
            mogstored.__version__,
            "{}.{}.{}".format(*sys.version_info),
            backend_name(),
        ): 1,
        ("mogstored_http_requests_total", "GET", "200"): 5,
        ("mogstored_http_requests_total", "GET", "404"): 2,
        ("mogstored_http_requests_total", "PUT", "201"): 1_234_567,
        ("mogstored_http_received_bytes_total",): 5,
        ("mogstored_http_sent_bytes_total",): 10**12,
        ("mogstored_connections", "http", "idle"): 3,
        ("mogstored_connections", "sidechannel", "active"): 1,
        ("mogstored_sidechannel_commands_total", "size"): 2,
        ("mogstored_sidechannel_commands_total", "other"): 1,
        ("mogstored_content_md5_mismatches_total",): 1,
        ("mogstored_threads", "worker", "running"): 1,
        ("mogstored_threads", "worker", "idle"): 9,
        ("mogstored_access_log_dropped_total",): 11,
        ("mogstored_log_dropped_total",): 4,
        ("mogstored_worker_restarts_total",): 2,
        ("mogstored_upgrades_total",): 3,
        ("mogstored_open_files",): 8,
        ("mogstored_worker_processes",): 2,
        ("mogstored_ready",): 1,
        ("process_resident_memory_bytes",): 6,
        ("process_virtual_memory_bytes",): 7,
        ("process_start_time_seconds",): FACTS.started_at,
        ("process_open_fds",): 8,
        ("process_max_fds",): 1024,
        ("process_cpu_seconds_total",): 2.5,
    }


def test_durations_of_requests() -> None:
    (family,) = [each for each in node_families(SHOWN) if each.type == "histogram"]
    state = SHOWN.total.durations["GET"]
    *buckets, count, seconds = [(each.name, each.value) for each in family.samples]
    name = "mogstored_http_request_duration_seconds"
    assert family.name == name
    assert {each.labels["method"] for each in family.samples} == {"GET"}
    assert [each.labels.get("le") for each in family.samples][:-2] == HTTP_BUCKETS
    assert buckets == [
        (f"{name}_bucket", sum(state.counts[: index + 1])) for index in range(len(HTTP_BUCKETS))
    ]
    assert (count, seconds) == ((f"{name}_count", state.total), (f"{name}_sum", state.seconds))


def test_state_of_another_version_is_shown_beside_those_that_are_known() -> None:
    assert known_states(device(1, state="ok")) == STATES
    assert known_states(device(1, state="new")) == (*STATES, "new")
