"""The metrics of a running node: what promtool and parsers say, and the page lists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.project._monitoring import Metric, listed_metrics, promtool
from tests.project._tree import ROOT
from tests.support.daemon import Node
from tests.support.http import ask, compose
from tests.support.puts import put
from tests.support.required import needs
from tests.support.sidechannel import manage
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
UTILIZATION = "mogstored_device_utilization_ratio"
# In samples of histograms only, not in the table.
BUCKET = "le"


def scrape(node: Node, accept: str = "text/plain") -> tuple[str, str]:
    """Return the type of the metrics and their text."""
    answer = ask(node.admin, compose("GET", "/metrics", f"Accept: {accept}"))
    assert answer.status == 200
    return str(answer.header("Content-Type")), answer.body.decode()


def exposed(node: Node) -> dict[str, Metric]:
    """Return what the node exposes, as the page would list it."""
    return {_name(family): _listed(family) for family in parse_text(scrape(node)[1])}


def _name(family: Family) -> str:
    # The parser takes it from counters.
    return f"{family.name}_total" if family.type == "counter" else family.name


def _listed(family: Family) -> Metric:
    labels = {label for sample in family.samples for label in sample.labels}
    return Metric(family.type, frozenset(labels - {BUCKET}), family.documentation)


def rows(metrics: dict[str, Metric]) -> str:
    """Return the table of docs/metrics.md, without the order of labels."""
    return "\n".join(
        f"| `{name}` | {it.kind} | {', '.join(f'`{label}`' for label in it.labels)} | {it.about} |"
        for name, it in metrics.items()
    )


def test_readme_shows_what_a_node_exposes_after_its_session() -> None:
    readme = (ROOT / "README.md").read_text()
    ((pattern, shown),) = re.findall(
        r"^\$ curl .*/metrics \| grep -E '(.*)'\n(.*?)^```", readme, re.MULTILINE | re.DOTALL
    )
    with Node(admin=True) as node:
        target = "/dev1/0/000/000/0000000001.fid"
        for request in (put(target, b"hello, mogile"), compose("GET", target)):
            assert ask(node.http, request).status < 300
        assert ask(node.http, compose("DELETE", target)).status == 204

        def exposed() -> list[str]:
            return [line for line in scrape(node)[1].splitlines() if re.search(pattern, line)]

        wait_until(lambda: exposed() == shown.splitlines(), "the metrics are as shown")


@needs("promtool")
def test_promtool_has_nothing_to_say(busy: Node) -> None:
    assert promtool("check", "metrics", stdin=scrape(busy)[1]) == ""


def test_page_lists_what_a_node_exposes(busy: Node) -> None:
    found, listed = exposed(busy), listed_metrics()
    if not found[UTILIZATION].labels:
        # The disk is not counted here, or was not measured twice yet.
        found[UTILIZATION] = listed[UTILIZATION]
    assert listed == found, f"the table should be:\n{rows(found)}"


def test_both_formats_have_the_same_metrics(busy: Node) -> None:
    kind, text = scrape(busy, OPENMETRICS)
    assert kind.startswith("application/openmetrics-text")
    families: list[Family] = list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
    assert {_name(family): _listed(family) for family in families} == exposed(busy)


def test_no_label_has_what_a_client_has_sent(busy: Node) -> None:
    ask(busy.http, compose("BREW", "/dev1/pot-of-a-client"))
    with manage(busy) as tracker:
        tracker.ask(b"brew /dev1/pot-of-a-client")
    text = scrape(busy)[1].lower()
    assert "pot-of-a-client" not in text
    assert "brew" not in text
