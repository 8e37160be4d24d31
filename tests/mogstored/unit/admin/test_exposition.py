"""The text of metrics: the fast way and the library's are the same, byte for byte."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mogstored.admin import exposition, metrics
from mogstored.admin.metrics import Collector
from mogstored.observability.histogram import HistogramState
from mogstored.observability.snapshot import DeviceSnapshot
from tests.support.snapshots import NOTHING, device, histogram, snapshot, view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from mogstored.admin.view import NodeView

ACCEPTED = [
    "",
    "*/*",
    "text/plain;version=0.0.4;q=0.5",
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6",
    "application/openmetrics-text",
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=1.0.0;escaping=values;q=0.8",
    "application/openmetrics-text;version=1.0.0;escaping=dots",
    # A Prometheus of today.
    ",".join(
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5",
            "application/openmetrics-text;version=0.0.1;q=0.4",
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3",
            "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        )
    ),
]
# Generous: it is 20 ms on a machine without other work, which the bench measures.
MOST_S = 1.0


def by_the_library(shown: NodeView, accept: str) -> tuple[str, bytes]:
    def families() -> Iterator[Metric]:
        yield from metrics.node_families(shown)
        yield from metrics.device_families(shown)

    encoder, content_type = choose_encoder(accept)
    return content_type, encoder(Collector(families()))


@pytest.mark.parametrize("accept", ACCEPTED)
@pytest.mark.parametrize(
    "devices",
    [
        (),
        (device(1), device(2, state="hung"), device(3, state="of another version")),
        (device(1, size_bytes=None, available_bytes=None, inodes=None, inodes_free=None),),
        (device(1, utilization=None, wait=None, operations={}, errors={}),),
        (device(1, wait=histogram(1, top=10**7), errors={("read", "EIO"): 10**7}),),
        (device(1, size_bytes=999_999, available_bytes=1_000_000, inodes=0),),
    ],
    ids=["none", "states", "unknown", "new", "many", "edges"],
)
def test_text_is_that_of_the_library(accept: str, devices: tuple[DeviceSnapshot, ...]) -> None:
    shown = view(snapshot()._replace(devices=devices))
    assert exposition.render(shown, accept) == by_the_library(shown, accept)


TEXTS = st.text('a\\\n"%é{}', max_size=4)
COUNTS = st.integers(0, 10**7)
HISTOGRAMS = st.builds(
    lambda count, seconds: HistogramState((count, 0, count, 0, 0, 1, 0, 0), seconds),
    COUNTS,
    st.floats(0, 1e9),
)
DEVICES = st.builds(
    lambda name, counts, ratio, waits, operations, errors: device(
        1,
        device=name,
        size_bytes=counts,
        waiting=counts or 0,
        utilization=ratio,
        wait=waits,
        operations=operations,
        errors=errors,
    ),
    TEXTS,
    st.one_of(st.none(), COUNTS),
    st.one_of(st.none(), st.floats(0, 1)),
    st.one_of(st.none(), HISTOGRAMS),
    st.dictionaries(TEXTS, HISTOGRAMS, max_size=2),
    st.dictionaries(st.tuples(TEXTS, TEXTS), COUNTS, max_size=2),
)


@settings(max_examples=40, deadline=None)
@given(devices=st.lists(DEVICES, max_size=2), accept=st.sampled_from(ACCEPTED))
def test_text_is_that_of_the_library_whatever_the_names_and_numbers(
    devices: list[DeviceSnapshot], accept: str
) -> None:
    shown = view(NOTHING._replace(devices=tuple(devices)))
    assert exposition.render(shown, accept) == by_the_library(shown, accept)


@pytest.mark.parametrize(
    ("accept", "parse"),
    [("text/plain", parse_text), ("application/openmetrics-text", parse_openmetrics)],
)
def test_text_can_be_parsed_and_is_whole(accept: str, parse: object) -> None:
    assert callable(parse)
    _, text = exposition.render(view(snapshot(devices=2)), accept)
    families = {family.name: family for family in parse(text.decode())}
    assert all(family.documentation for family in families.values())
    assert all(family.type != "unknown" for family in families.values())
    buckets = [
        sample
        for sample in families["mogstored_device_operation_seconds"].samples
        if sample.name.endswith("_bucket")
        and sample.labels["device"] == "dev1"
        and sample.labels["operation"] == "read"
    ]
    values = [sample.value for sample in buckets]
    assert values == sorted(values)
    assert buckets[-1].labels["le"] == "+Inf"
    assert values[-1] == sum(device(1).operations["read"].counts)


def test_500_devices_take_little_time() -> None:
    shown = view(snapshot(devices=500))

    def seconds() -> float:
        begun = time.process_time()
        exposition.render(shown, "")
        return time.process_time() - begun

    assert min(seconds() for _ in range(3)) < MOST_S
