"""The text of all metrics, in the format that a scraper accepts.

The library renders the metrics of the node, and decides on the format. It takes some 5 us for
each sample, and 500 devices have tens of thousands of them: their text is made here, byte for byte
as the library makes it (a test compares), in a tenth of the time. A histogram is one template,
filled at once, and its labels are put into the text behind that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from mogstored.admin import metrics
from mogstored.admin.encoders import Metric, choose_encoder
from mogstored.admin.metrics import Collector
from mogstored.admin.view import DeviceView, NodeView
from mogstored.observability.histogram import HistogramState

_EOF = b"# EOF\n"
# Below, a whole number is written with all its digits.
_EXPONENT_FROM = 1_000_000
# Stands for the label of the device while a template is filled.
_DEVICE = "\0"
# Ways to escape names that change even those without a special character.
_CHANGING = ("escaping=dots", "escaping=values")


def render(view: NodeView, accept: str) -> tuple[str, bytes]:
    """Return the type and the text for a scraper that sent this Accept field."""
    encoder, content_type = choose_encoder(accept)
    if content_type.endswith(_CHANGING):
        return content_type, encoder(_all(view))
    is_open = content_type.startswith("application/openmetrics-text")
    text: bytes = encoder(Collector(metrics.node_families(view)))
    devices = "".join(_device_lines(view.devices, is_open)).encode()
    if is_open:
        return content_type, text.removesuffix(_EOF) + devices + _EOF
    return content_type, text + devices


def _all(view: NodeView) -> Collector:
    def families() -> Iterator[Metric]:
        yield from metrics.node_families(view)
        yield from metrics.device_families(view)

    return Collector(families())


def _device_lines(devices: Iterable[DeviceView], is_open: bool) -> Iterator[str]:
    labelled = [(f'device="{_escape(each.label)}"', each.counters) for each in devices]
    for field, (name, about) in metrics.DEVICE_GAUGES.items():
        yield _head(name, about, "gauge")
        for label, device in labelled:
            value = getattr(device, field)
            if value is not None:
                yield f"{name}{{{label}}} {_number(value)}\n"
    name, about = metrics.DEVICE_STATE
    yield _head(name, about, "gauge")
    for label, device in labelled:
        for known in metrics.known_states(device):
            value = int(known == device.state)
            yield f'{name}{{{label},state="{_escape(known)}"}} {value}.0\n'
    yield _head(*metrics.DEVICE_WAIT, "histogram")
    fill = _histogram(metrics.DEVICE_WAIT[0], "")
    for label, device in labelled:
        if device.wait is not None:
            yield fill(device.wait).replace(_DEVICE, label)
    yield _head(*metrics.DEVICE_OPERATION, "histogram")
    fills: dict[str, Callable[[HistogramState], str]] = {}
    for label, device in labelled:
        for operation, state in device.operations.items():
            if operation not in fills:
                end = f',operation="{_escape(operation)}"'
                fills[operation] = _histogram(metrics.DEVICE_OPERATION[0], end)
            yield fills[operation](state).replace(_DEVICE, label)
    name, about = metrics.DEVICE_ERRORS
    yield _head(name.removesuffix("_total") if is_open else name, about, "counter")
    for label, device in labelled:
        for (operation, errno), count in device.errors.items():
            labels = f'{label},errno="{_escape(errno)}",operation="{_escape(operation)}"'
            yield f"{name}{{{labels}}} {_number(count)}\n"
    scrubbed = [(label, device.scrub) for label, device in labelled if device.scrub]
    for field, (name, about) in metrics.DEVICE_SCRUB.items():
        yield _head(name.removesuffix("_total") if is_open else name, about, "counter")
        for label, counts in scrubbed:
            yield f"{name}{{{label}}} {_number(counts[field])}\n"
    name, about = metrics.SCRUB_FINDINGS
    yield _head(name.removesuffix("_total") if is_open else name, about, "counter")
    for label, counts in scrubbed:
        for kind in metrics.SCRUB_KINDS:
            yield f'{name}{{{label},kind="{kind}"}} {_number(counts[kind])}\n'


def _head(name: str, about: str, kind: str) -> str:
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n"


def _histogram(name: str, last_labels: str) -> Callable[[HistogramState], str]:
    """Return what makes the lines of a histogram, with `_DEVICE` where its label goes."""
    escaped = last_labels.replace("%", "%%")
    template = "".join(
        f'{name}_bucket{{{_DEVICE},le="{le}"{escaped}}} %s\n' for le in metrics.DEVICE_BUCKETS
    )
    template += f"{name}_count{{{_DEVICE}{escaped}}} %s\n{name}_sum{{{_DEVICE}{escaped}}} %s\n"
    *counts, total = template.split("%s")
    short = "%d.0".join(counts) + "%s" + total

    def fill(state: HistogramState) -> str:
        cumulative = tuple(accumulate(state.counts))
        seconds = metrics.number(state.seconds)
        if cumulative[-1] < _EXPONENT_FROM:
            return short % (*cumulative, cumulative[-1], seconds)
        return template % (*map(_number, cumulative), _number(cumulative[-1]), seconds)

    return fill


def _number(value: float) -> str:
    if isinstance(value, int) and 0 <= value < _EXPONENT_FROM:
        return f"{value}.0"
    return metrics.number(value)


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
