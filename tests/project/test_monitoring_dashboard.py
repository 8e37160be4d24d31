"""The Grafana dashboard: whole, laid out, and with queries of metrics there are."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.project._monitoring import (
    OF_PROMETHEUS,
    dashboard,
    dashboard_queries,
    filled_in,
    panels,
    promtool,
    wrong_names,
)
from tests.project._promql import names_in
from tests.support.required import needs

if TYPE_CHECKING:
    from pathlib import Path

# Columns of Grafana's grid.
WIDTH = 24
# Of the classic model, which Grafana 13 imports as well.
LEAST_SCHEMA = 39
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

each_panel = pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])


# Queries.


@pytest.mark.parametrize("query", dashboard_queries())
def test_query_is_about_metrics_there_are(query: str) -> None:
    assert wrong_names(query) == []


@needs("promtool")
def test_queries_are_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": query}
        for number, query in enumerate(dashboard_queries())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", file)


@each_panel
def test_legend_names_labels_of_the_query(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        names = names_in(filled_in(target["expr"]))
        shown = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
        groupings = names.groupings - {"le"} or OF_PROMETHEUS | {"device"}
        assert shown <= groupings | ({"le"} if panel["type"] == "heatmap" else set())


@each_panel
def test_panel_asks_the_chosen_source_about_the_chosen_nodes(panel: dict[str, Any]) -> None:
    assert panel["datasource"] == SOURCE
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        for name, matchers in names_in(target["expr"]).metrics.items():
            assert matchers["instance"] == "$node", name
            # Others have processes, too.
            assert name.startswith("mogstored_") or matchers["job"] == "mogstored", name


def test_variables_are_made_of_metrics_there_are() -> None:
    source, *others = dashboard()["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert [variable["name"] for variable in others] == ["node", "device"]
    for variable in others:
        definition = variable["definition"]
        ((series, label),) = re.findall(r"^label_values\((.*), (\w+)\)$", definition)
        assert variable["query"]["query"] == definition
        assert wrong_names(f"sum by ({label}) ({filled_in(series)})") == []


# The layout.


def test_dashboard_is_whole() -> None:
    whole = dashboard()
    assert whole["id"] is None
    assert whole["schemaVersion"] >= LEAST_SCHEMA
    assert [panel["title"] for panel in whole["panels"] if panel["type"] == "row"] == [
        "Overview",
        "Requests",
        "Devices",
        "Errors",
        "Saturation",
        "Process",
    ]
    numbers = Counter(panel["id"] for panel in whole["panels"])
    assert numbers.most_common(1)[0][1] == 1


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@each_panel
def test_references_of_a_table_are_its_queries(panel: dict[str, Any]) -> None:
    letters = {target["refId"] for target in panel["targets"]}
    assert len(letters) == len(panel["targets"])
    if panel["type"] == "table":
        named = set(re.findall(r"Value #(\w)", str(panel["transformations"])))
        assert named == letters
