"""What packaging/monitoring, docs/monitoring.md and docs/metrics.md hold, as data."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any, NamedTuple

import yaml

from mogstored.devices.health import DeviceState
from tests.project._promql import names_in
from tests.project._tree import ROOT

MONITORING = ROOT / "packaging" / "monitoring"
RULES = MONITORING / "prometheus" / "mogstored.rules.yml"
RULE_TESTS = MONITORING / "prometheus" / "mogstored.rules.test.yml"
SCRAPE = MONITORING / "prometheus" / "scrape.yml"
DASHBOARD = MONITORING / "grafana" / "mogstored.json"
PAGE = ROOT / "docs" / "monitoring.md"
METRICS = ROOT / "docs" / "metrics.md"

# Every target has these.
OF_PROMETHEUS = frozenset({"job", "instance"})
STATES = {str(state.value) for state in DeviceState}
OPERATIONS = {"read", "write", "delete", "digest"}

_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", re.MULTILINE)


class Metric(NamedTuple):
    """A metric as the page lists it."""

    kind: str
    labels: frozenset[str]
    about: str


def listed_metrics() -> dict[str, Metric]:
    """Return the table of docs/metrics.md, by name."""
    return {
        name: Metric(kind, frozenset(re.findall(r"`(\w+)`", labels)), about)
        for name, kind, labels, about in _ROW.findall(METRICS.read_text())
    }


def alerts() -> list[dict[str, Any]]:
    """List the alerting rules."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def panels() -> list[dict[str, Any]]:
    """List the panels that show data."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_queries() -> list[str]:
    """List the expressions of panels and annotations, Grafana's variables replaced as it does."""
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    notes = dashboard()["annotations"]["list"]
    queries += [note["expr"] for note in notes if "expr" in note]
    return [filled_in(query) for query in queries]


def filled_in(query: str) -> str:
    """Return `query` with everything selected."""
    for variable, value in (
        ("$node", ".+"),
        ("$device", ".+"),
        ("$__rate_interval", "1m"),
        ("$__range", "6h"),
    ):
        query = query.replace(variable, value)
    assert "$" not in query, query
    return query


def promtool(*arguments: object, stdin: str = "") -> str:
    """Run promtool and return what it says; fail with that if it finds fault."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def wrong_names(expression: str) -> list[str]:
    """List what `expression` names and docs/metrics.md does not list."""
    listed = {**listed_metrics(), "up": Metric("gauge", frozenset(), "")}
    names, wrong, possible = names_in(expression), [], set(OF_PROMETHEUS)
    for name, matchers in names.metrics.items():
        metric, labels = _series(name, listed)
        if metric is None:
            wrong.append(name)
            continue
        possible |= labels
        wrong += [f"{name}{{{label}}}" for label in matchers if label not in labels]
        wrong += [
            f"{label}={value}"
            for label, value in matchers.items()
            for known in (_values(name).get(label),)
            if known is not None and not set(value.split("|")) <= known
        ]
    return wrong + sorted(names.groupings - possible)


def _series(name: str, listed: dict[str, Metric]) -> tuple[Metric | None, frozenset[str]]:
    """Return the metric that the series of that name belong to, and their labels."""
    if name in listed and listed[name].kind != "histogram":
        return listed[name], listed[name].labels | OF_PROMETHEUS
    base, _, part = name.rpartition("_")
    metric = listed.get(base)
    if metric is None or metric.kind != "histogram" or part not in ("bucket", "sum", "count"):
        return None, frozenset()
    return metric, metric.labels | OF_PROMETHEUS | ({"le"} if part == "bucket" else frozenset())


def _values(name: str) -> dict[str, set[str]]:
    """Return the values that labels of devices can have."""
    if name.startswith("mogstored_device_"):
        return {"state": STATES, "operation": OPERATIONS}
    return {}
