"""Scrapes of a node's admin listener: series by name and labels, and the status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.support.http import ask, compose
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.daemon import Address, Node
    from tests.support.http import Response

NAME = "mogstored-admin"


def get(addr: Address, path: str, *fields: str) -> Response:
    return ask(addr, compose("GET", path, *fields))


class Scrape:
    """All samples of one moment."""

    def __init__(self, addr: Address) -> None:
        answer = get(addr, "/metrics")
        assert answer.status == 200
        families = list(text_string_to_metric_families(answer.body.decode()))
        self.types = {family.name: family.type for family in families}
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples that have these labels."""
        return sum(
            value
            for (found, has), value in self.samples.items()
            if found == name and labels.items() <= has
        )

    def counters(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return the samples that never fall, but for those of the processor."""
        return {
            (name, labels): value
            for (name, labels), value in self.samples.items()
            if name.endswith(("_total", "_bucket", "_count", "_sum"))
        }


def wait_until_counted(addr: Address, expected: float, name: str, **labels: str) -> Scrape:
    """Return the first scrape with that value.

    A client has its answer a moment before it is counted, and a process that is late is shown as
    it was.
    """
    found: list[Scrape] = []

    def is_counted() -> bool:
        found[:] = [Scrape(addr)]
        return found[0].value(name, **labels) == expected

    try:
        wait_until(is_counted, f"{name} {labels}")
    except AssertionError:
        assert found[0].value(name, **labels) == expected
        raise
    return found[0]


def status(addr: Address) -> dict[str, Any]:
    answer = get(addr, "/status.json")
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


def wait_until_ready(addr: Address) -> None:
    """The admin process may learn later than a client of the log that the node serves."""
    wait_until(lambda: get(addr, "/-/ready").status == 200, "the node is ready")


def is_admin(process: psutil.Process) -> bool:
    """Return whether this is an admin process that has not ended."""
    try:
        return bool(process.name() == NAME and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def admin_process(node: Node) -> psutil.Process:
    """Return the one that answers now."""
    found: list[psutil.Process] = []

    def is_found() -> bool:
        found[:] = [each for each in node.process.children(recursive=True) if is_admin(each)]
        return len(found) == 1

    wait_until(is_found, "there is one admin process")
    return found[0]
