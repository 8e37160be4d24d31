"""The encoders of `prometheus_client`, without the servers and clients beside them.

`prometheus_client.exposition` imports TLS, HTTP and mail on its first lines, for functions that
are not used here: 2.7 MiB. While it is loaded, empty modules stand in for those. Should a version
of it need them for more than that, it is loaded with all of them.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

_LIBRARY = "prometheus_client"
_UNUSED = ("http.server", "ssl", "urllib.error", "urllib.request", "wsgiref.simple_server")


class _StandIn(ModuleType):
    """Has every name: a class with nothing in it, to inherit from or to annotate with."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _load() -> None:
    stand_ins = {name: _StandIn(name) for name in _UNUSED if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        import prometheus_client.exposition  # noqa: F401
    except Exception:
        # Without the stand-ins, the imports below load what is needed.
        for name in [each for each in sys.modules if each.partition(".")[0] == _LIBRARY]:
            del sys.modules[name]
    finally:
        for name in stand_ins:
            del sys.modules[name]


if _LIBRARY not in sys.modules:
    _load()

from prometheus_client.exposition import choose_encoder  # noqa: E402
from prometheus_client.metrics_core import (  # noqa: E402
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString  # noqa: E402

__all__ = [
    "CounterMetricFamily",
    "GaugeMetricFamily",
    "HistogramMetricFamily",
    "Metric",
    "choose_encoder",
    "floatToGoString",
]
