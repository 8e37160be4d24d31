"""What is made of `/status.json`, whatever is in it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.top.model import NODE_STATES, Node
from mogstored.top.sources.network import BadAnswer
from mogstored.top.sources.status import parse_status
from tests.support.status_servers import device_of, status_of


def parsed(status: object) -> Node:
    return parse_status(json.dumps(status).encode(), "stor1")


def changed(path: str, value: object) -> dict[str, Any]:
    """Return a good status but for one member."""
    status: dict[str, Any] = copy.deepcopy(status_of(device_of("dev1")))
    place: Any = status
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name) if name.isdigit() else name]
    place[int(last) if last.isdigit() else last] = value
    return status


def test_node_is_taken_over() -> None:
    node = parsed(status_of(requests=100))
    assert (node.node, node.state, node.detail, node.via) == ("stor1", "ok", "", "admin")
    assert (node.hostname, node.version, node.worker_processes) == ("stor1.example", "1.2.3", 2)
    assert (node.connections, node.requests_total, node.failed_requests_total) == (7, 112, 2)
    assert (node.received_bytes_total, node.sent_bytes_total) == (1000, 2000)


def test_device_is_taken_over() -> None:
    row = device_of(
        "dev7",
        in_flight=3,
        waiting=2,
        oldest_waiting_seconds=0.25,
        errors_total=5,
        operations={"read": {"count": 4}, "write": {"count": 6}, "delete": {}},
    )
    (device,) = parsed(status_of(row)).devices
    assert (device.node, device.device, device.state) == ("stor1", "dev7", "ok")
    assert (device.in_flight, device.waiting, device.oldest_waiting_seconds) == (3, 2, 0.25)
    assert (device.errors_total, device.requests_total) == (5, 10)
    assert device.used_ratio == 0.5
    assert device.scrub_findings is None
    assert device.utilization_history == (0.0, None, 0.125)


def test_findings_of_a_scrub_are_counted() -> None:
    findings = [{"path": "/a"}, {"path": "/b"}]
    row = device_of("dev7", scrub={"files": 10, "findings": findings})
    (device,) = parsed(status_of(row)).devices
    assert (device.scrub_findings, device.verdict) == (2, "findings")


@pytest.mark.parametrize(
    ("node", "state", "detail"),
    [
        ({"state": "starting", "ready": False}, "starting", ""),
        ({"state": "draining", "ready": False}, "draining", ""),
        (
            {"ready": False, "not_ready_reasons": ["no usable device", 3, "a\x1b[2Jb"]},
            "not ready",
            "no usable device, a\\x1b[2Jb",
        ),
    ],
)
def test_state_of_a_node_has_its_reason(node: dict[str, Any], state: str, detail: str) -> None:
    found = parsed(status_of(**node))
    assert (found.state, found.detail) == (state, detail)


def test_silent_processes_are_counted() -> None:
    workers = [{"answers": True}, {"answers": False}, {"answers": False}, {}]
    found = parsed({**status_of(), "workers": workers})
    assert (found.state, found.detail) == ("ok", "2 of 4 processes silent")


@pytest.mark.parametrize("missing", ["workers", "http", "connections", "devices"])
def test_parts_may_be_missing(missing: str) -> None:
    status = status_of(device_of("dev1"))
    del status[missing]
    assert parsed(status).state == "ok"


def test_values_of_a_device_may_be_unknown() -> None:
    unknown = dict.fromkeys(device_of("dev1"), None)
    (device,) = parsed(status_of({**unknown, "device": "dev1", "state": "hung"})).devices
    assert device.used_ratio is None
    assert device.utilization_ratio is None


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("schema", 2, "a schema that this version does not know"),
        ("schema", None, "a schema that this version does not know"),
        ("node", [], "node is no dict"),
        ("node.state", "fine", "node.state is no state"),
        ("node.state", {}, "node.state is no str"),
        ("node.ready", "yes", "node.ready is no bool"),
        ("node.version", 3, "node.version is no str"),
        ("node.uptime_seconds", "long", "node.uptime_seconds is no number"),
        ("node.uptime_seconds", True, "node.uptime_seconds is no number"),
        ("connections.http", 3, "connections[] is no object"),
        ("connections.http.idle", "3", "connections[] is no number"),
        ("http.requests", [1], "http.requests is no dict"),
        ("http.requests.GET", 1, "http.requests[] is no object"),
        ("http.received_bytes", 10**30, "http.received_bytes is too large"),
        ("workers", {}, "workers is no list"),
        ("workers", [1], "workers[0] is no object"),
        ("devices", "dev1", "devices is no list"),
        ("devices", [{}] * 10_001, "devices has more than 10000 members"),
        ("devices", [{}] * 10_000, "devices[0] has no name or no state"),
        ("http.received_bytes", 1.1e24, "http.received_bytes is too large"),
        ("devices.0.device", None, "devices[0] has no name or no state"),
        ("devices.0.state", "", "devices[0] has no name or no state"),
        ("devices.0.size_bytes", [1], "devices[0].size_bytes is no number"),
        ("devices.0.utilization_history", 1, "devices[0].utilization_history is no list"),
        ("devices.0.utilization_history", [[]], "devices[0] is no number"),
        ("devices.0.scrub", [], "devices[0].scrub is no dict"),
        ("devices.0.scrub", {"findings": 1}, "devices[0].scrub.findings is no list"),
        ("devices.0.operations", [], "devices[0].operations is no dict"),
        ("devices.0.operations", {"\x1b[2J": 3}, "devices[0].operations[] is no object"),
    ],
)
def test_wrong_type_is_a_bad_answer_that_names_the_place(
    path: str, value: object, said: str
) -> None:
    with pytest.raises(BadAnswer) as refused:
        parsed(changed(path, value))
    assert str(refused.value) == said


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"<html>",
        b'{"schema": NaN}',
        b'{"schema": Infinity}',
        b"[" * 100_000,
        b'{"schema": ' + b"9" * 5000 + b"}",
        b'{"schema": 1',
    ],
    ids=lambda body: repr(body[:15]),
)
def test_what_is_no_json_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="no JSON"):
        parse_status(body, "stor1")


@pytest.mark.parametrize("body", [b"1", b"null", b'"x"', b"[]"])
def test_what_is_no_object_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="the answer is no object"):
        parse_status(body, "stor1")


def test_number_beyond_floats_is_a_bad_answer() -> None:
    body = json.dumps(changed("devices.0.waiting", 0))
    for number in ("1e999", "-1e999"):
        infinite = body.replace('"waiting": 0', f'"waiting": {number}')
        with pytest.raises(BadAnswer, match="is too large"):
            parse_status(infinite.encode(), "stor1")


def test_texts_are_shown_escaped_and_short() -> None:
    (device,) = parsed(
        status_of(device_of("\x1b]0;x\x07\u202edev", state="[red]", source="s" * 9999))
    ).devices
    assert device.device == "\\x1b]0;x\\x07\\u202edev"
    assert device.state == "[red]"
    assert device.source == "s" * 200


def test_texts_that_grow_by_escapes_are_cut() -> None:
    row = device_of("dev1", source="\x1b" * 50, path="\x1b" * 51)
    (device,) = parsed(status_of(row)).devices
    assert device.source == "\\x1b" * 50
    assert device.path == "\\x1b" * 50 + "..."


def test_long_lists_are_cut() -> None:
    history = [i / 100 for i in range(61)]
    row = device_of("dev1", utilization_history=history)
    reasons = [f"reason {i}" for i in range(6)]
    node = parsed(status_of(row, ready=False, not_ready_reasons=reasons))
    assert node.detail == "reason 0, reason 1, reason 2, reason 3, reason 4"
    assert node.devices[0].utilization_history == tuple(history[1:])


def test_greatest_number_is_taken() -> None:
    (device,) = parsed(status_of(device_of("dev1", size_bytes=1e24))).devices
    assert device.size_bytes == 1e24


def test_node_that_is_not_ready_has_silent_processes_too() -> None:
    status = status_of(ready=False, not_ready_reasons=["no device"])
    node = parsed({**status, "workers": [{"answers": False}, {"answers": True}]})
    assert (node.state, node.detail) == ("not ready", "no device, 1 of 2 processes silent")


def test_all_fields_of_a_device_are_taken_over() -> None:
    row = device_of("dev7", state="down", state_since=5.5, docroot="/d", inodes=9, inodes_free=8)
    (device,) = parsed(status_of(row)).devices
    assert (device.docroot, device.path, device.source) == ("/d", "/var/mogdata/dev7", "/dev/sdx1")
    assert (device.state_since, device.inodes, device.inodes_free) == (5.5, 9, 8)
    assert (device.size_bytes, device.available_bytes) == (2**40, 2**39)


def test_numbers_a_little_out_of_range_are_put_right() -> None:
    row = device_of("dev1", oldest_waiting_seconds=-0.001, utilization_ratio=1.02)
    (device,) = parsed(status_of(row)).devices
    assert (device.oldest_waiting_seconds, device.utilization_ratio) == (0, 1.0)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    path=st.sampled_from(
        ["node", "http", "connections", "devices", "workers", "node.state", "devices.0"]
        + [f"devices.0.{name}" for name in device_of("dev1")]
    ),
    value=_JSON,
)
def test_anything_is_a_node_or_a_bad_answer(path: str, value: object) -> None:
    try:
        node = parsed(changed(path, value))
    except BadAnswer as error:
        texts = [str(error)]
    else:
        assert node.state in NODE_STATES
        texts = [node.detail, *(f"{d.device} {d.shown_state}" for d in node.devices)]
    assert all(text.isprintable() for text in texts)
