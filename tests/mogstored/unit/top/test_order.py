"""What is worst, what is shown, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from mogstored.admin.page.rows import CONDITIONS, FULL_BELOW
from mogstored.devices.health import DeviceState
from mogstored.top.model import FULL_RATIO, NODE_STATES, VERDICTS, Device, Node
from mogstored.top.order import SORTS, in_order, natural, select, worst_first


def device(name: str = "dev1", node: str = "a", **fields: Any) -> Device:
    return Device(**{"node": node, "device": name, "state": "ok", **fields})


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, "ok"),
        ({"state": "hung"}, "hung"),
        ({"state": "melting"}, "unknown"),
        ({"state": "full"}, "unknown"),
        ({"size_bytes": 100, "available_bytes": 1}, "full"),
        ({"size_bytes": 100, "available_bytes": 2}, "ok"),
        ({"inodes": 100, "inodes_free": 1}, "full"),
        ({"size_bytes": 0, "available_bytes": 0}, "ok"),
        ({"utilization_ratio": 0.9}, "busy"),
        ({"utilization_ratio": 0.89, "waiting": 1}, "waiting"),
        ({"errors_total": 9, "errors_per_second": 0.0}, "ok"),
        ({"errors_total": 9, "errors_per_second": 0.5}, "errors"),
        ({"errors_per_second": 0.5, "scrub_findings": 1}, "errors"),
        ({"scrub_findings": 1}, "findings"),
        ({"scrub_findings": 0}, "ok"),
        ({"state": "read-only", "utilization_ratio": 1.0}, "read-only"),
    ],
)
def test_verdict(fields: dict[str, Any], verdict: str) -> None:
    assert device(**fields).verdict == verdict


def test_state_that_is_not_known_is_shown_as_it_is() -> None:
    assert device(state="melting").shown_state == "melting"


def test_worst_devices_come_first() -> None:
    devices = [
        device("dev1"),
        device("dev2", utilization_ratio=0.5),
        device("dev3", errors_per_second=1),
        device("dev4", waiting=3),
        device("dev5", waiting=9),
        device("dev6", utilization_ratio=0.95),
        device("dev7", size_bytes=100, available_bytes=0),
        device("dev8", state="melting"),
        device("dev9", state="read-only"),
        device("dev10", state="unmounted"),
        device("dev11", state="failed"),
        device("dev12", state="hung", oldest_waiting_seconds=1),
        device("dev13", state="hung", oldest_waiting_seconds=60),
    ]
    numbers = [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert [each.device for each in in_order(devices, "worst")] == [f"dev{n}" for n in numbers]


@pytest.mark.parametrize(
    ("sort", "field"),
    [
        ("utilization", "utilization_ratio"),
        ("waiting", "waiting"),
        ("oldest", "oldest_waiting_seconds"),
        ("errors", "errors_per_second"),
        ("requests", "requests_per_second"),
    ],
)
def test_greatest_comes_first_and_unknown_last(sort: str, field: str) -> None:
    values = [None, 0, 3, 0.5]
    rows: list[dict[str, Any]] = [{field: value} for value in values]
    devices = [device(f"dev{i}", **row) for i, row in enumerate(rows)]
    assert [each.device for each in in_order(devices, sort)] == ["dev2", "dev3", "dev1", "dev0"]
    backwards = [each.device for each in in_order(devices, sort, is_reversed=True)]
    assert backwards == ["dev0", "dev1", "dev3", "dev2"]


def test_fullest_comes_first() -> None:
    devices = [device(f"dev{i}", size_bytes=10, available_bytes=i) for i in (5, 1, 9)]
    assert [each.device for each in in_order(devices, "full")] == ["dev1", "dev5", "dev9"]


@pytest.mark.parametrize("sort", SORTS)
def test_equal_devices_are_ordered_by_the_numbers_in_their_names(sort: str) -> None:
    names = [("b", "dev2"), ("a10", "dev1"), ("a9", "dev10"), ("a9", "dev9")]
    found = in_order([device(name, node) for node, name in names], sort)
    assert [(each.node, each.device) for each in found] == [
        ("a9", "dev9"),
        ("a9", "dev10"),
        ("a10", "dev1"),
        ("b", "dev2"),
    ]


def test_number_of_any_length_is_ordered() -> None:
    names = ["dev" + "9" * 5000, "dev2", "dev010", "dev", "", "10"]
    assert sorted(names, key=natural) == ["", "10", "dev", "dev2", "dev010", "dev" + "9" * 5000]


def test_worst_nodes_come_first() -> None:
    hung = device(state="hung")
    nodes = [
        Node(node="fine", state="ok", devices=(device(),)),
        Node(node="full", state="ok", devices=(device(size_bytes=9, available_bytes=0),)),
        Node(node="one hangs", state="ok", devices=(hung, device())),
        Node(node="two hang", state="ok", devices=(hung, hung)),
        *(Node(node=state, state=state) for state in reversed(NODE_STATES)),
    ]
    assert [node.node for node in worst_first(nodes)] == [
        "no answer",
        "bad answer",
        "no HTTP",
        "not ready",
        "two hang",
        "one hangs",
        "full",
        "draining",
        "starting",
        "asking",
        "fine",
        "ok",
    ]


@pytest.mark.parametrize(
    ("words", "nodes", "devices"),
    [
        ("", ["alpha", "beta"], ["dev1", "dev2", "dev3"]),
        ("ALPHA", ["alpha"], ["dev1", "dev2"]),
        ("hung", ["alpha"], ["dev2"]),
        ("dev", ["alpha", "beta"], ["dev1", "dev2", "dev3"]),
        ("beta dev3", ["beta"], ["dev3"]),
        ("beta dev1", [], []),
        ("rack7", ["beta"], ["dev3"]),
        ("/sda", ["alpha"], ["dev1"]),
        ("draining", ["beta"], ["dev3"]),
        ("[", [], []),
    ],
)
def test_filter_wants_every_word(words: str, nodes: list[str], devices: list[str]) -> None:
    alpha = (device("dev1", "alpha", source="/dev/sda"), device("dev2", "alpha", state="hung"))
    beta = (device("dev3", "beta"),)
    cluster = [
        Node(node="alpha", state="ok", devices=alpha),
        Node(node="beta", state="draining", hostname="rack7.example", devices=beta),
    ]
    shown_nodes, shown_devices = select(cluster, words)
    assert [node.node for node in shown_nodes] == nodes
    assert [each.device for each in shown_devices] == devices


def test_nodes_page_and_top_agree_on_what_is_worse_and_what_is_full() -> None:
    *bad, last = DeviceState
    assert last == "ok"
    for states in (VERDICTS, CONDITIONS):
        assert [state for state in states if state in bad] == bad
    assert FULL_RATIO == 1 - FULL_BELOW


def test_every_verdict_has_a_rank_of_its_own() -> None:
    assert len(set(VERDICTS)) == len(VERDICTS)
