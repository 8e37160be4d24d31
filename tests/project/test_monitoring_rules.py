"""The alerting rules and the scrape example: valid, tested, explained, about metrics there are."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.project._monitoring import (
    PAGE,
    RULE_TESTS,
    RULES,
    SCRAPE,
    alerts,
    promtool,
    wrong_names,
)
from tests.project._tree import ROOT
from tests.project.test_documents import anchors
from tests.support.required import needs


def name_of(alert: dict[str, Any]) -> str:
    return str(alert["alert"])


each_alert = pytest.mark.parametrize("alert", alerts(), ids=name_of)


# promtool.


@needs("promtool")
def test_promtool_finds_no_fault_in_the_rules() -> None:
    assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", RULES)


@needs("promtool")
def test_alerts_fire_for_their_cases_and_for_no_other() -> None:
    assert "SUCCESS" in promtool("test", "rules", RULE_TESTS)


@needs("promtool")
def test_promtool_finds_no_fault_in_the_scrape() -> None:
    assert "is valid prometheus config" in promtool("check", "config", SCRAPE)


@each_alert
def test_alert_has_a_case_that_fires_and_one_that_does_not(alert: dict[str, Any]) -> None:
    cases = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    (group,) = (group for group in cases if group["name"] == name_of(alert))
    checks = group["alert_rule_test"]
    assert {check["alertname"] for check in checks} == {name_of(alert)}
    assert {bool(check["exp_alerts"]) for check in checks} == {True, False}


# What a reader gets.


@each_alert
def test_alert_names_node_and_device(alert: dict[str, Any]) -> None:
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert alert["labels"]["severity"] in ("critical", "warning")
    for text in (notes["summary"], notes["description"]):
        assert "$labels.instance" in text
        assert ("$labels.device" in text) == bool(
            re.search("mogstored_(device|scrub)_", alert["expr"])
        )


@each_alert
def test_runbook_has_a_section_on_the_alert(alert: dict[str, Any]) -> None:
    path, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert ROOT / path == PAGE
    assert anchor == name_of(alert).lower()
    assert anchor in anchors(PAGE.read_text())


# Names.


@each_alert
def test_alert_is_about_metrics_there_are(alert: dict[str, Any]) -> None:
    assert wrong_names(alert["expr"]) == []


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ('mogstored_device_state{state="hang"} == 1', ["state=hang"]),
        ("mogstored_requests_total", ["mogstored_requests_total"]),
        ("mogstored_device_wait_seconds", ["mogstored_device_wait_seconds"]),
        ("mogstored_ready_count", ["mogstored_ready_count"]),
        ("sum by (devices) (mogstored_ready)", ["devices"]),
        ('rate(mogstored_connections{device="dev1"}[1m])', ["mogstored_connections{device}"]),
        ("sum without (le) (mogstored_device_wait_seconds_sum)", ["le"]),
    ],
)
def test_wrong_name_is_found(expression: str, wrong: list[str]) -> None:
    assert wrong_names(expression) == wrong


def test_queries_of_the_page_are_about_metrics_there_are() -> None:
    text = PAGE.read_text()
    examples = "\n".join(re.findall(r"^```promql\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    queries = [line for line in examples.splitlines() if not line.startswith("#")]
    queries += re.findall(r"`(sum by [^`]+)`", text)
    assert len(queries) > 3
    assert [name for query in queries for name in wrong_names(query)] == []
