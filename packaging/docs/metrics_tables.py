"""The table of docs/metrics.md, from the families that the admin process collects."""

from __future__ import annotations

from collections.abc import Iterator

from mogstored.admin.control import NodeFacts
from mogstored.admin.metrics import device_families, node_families
from mogstored.admin.view import NodeView, Usage
from mogstored.observability.snapshot import ProcessSnapshot

# Families do not depend on what is counted.
_NODE = NodeView(
    time=0.0,
    facts=NodeFacts(pid=1, started_at=0.0, worker_processes=0, listeners=()),
    total=ProcessSnapshot(pid=1, number=0, started_at=0.0, state="serving"),
    processes=[],
    devices=[],
    usage=Usage(),
    max_open_files=0,
)


def metrics() -> Iterator[str]:
    """Yield what is exposed, in the order of an answer."""
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for family in (*node_families(_NODE), *device_families(_NODE)):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in getattr(family, "_labelnames", ()))
        yield f"| `{name}` | {family.type} | {labels} | {family.documentation} |"
