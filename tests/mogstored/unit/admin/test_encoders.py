"""The library is loaded without what is not used, and does the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Run by an interpreter of its own: here, others have loaded everything.
LEAN = """
import sys
from mogstored.admin import encoders
heavy = {"ssl", "http.server", "http.client", "urllib.request", "wsgiref.simple_server"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
BROKEN = """
import sys
from mogstored.admin import encoders as _
for name in [each for each in sys.modules if each.startswith(("prometheus_client", "mogstored"))]:
    del sys.modules[name]

class Refusing:
    def find_spec(self, name, *_):
        if name == "prometheus_client.exposition" and "http.server" in sys.modules:
            if type(sys.modules["http.server"]).__name__ == "_StandIn":
                raise TypeError("a stand-in is not enough")

sys.meta_path.insert(0, Refusing())
from mogstored.admin import encoders
import http.server
assert hasattr(http.server, "HTTPServer")
"""
RENDER = """
encode, _ = encoders.choose_encoder("")
encode_open, _ = encoders.choose_encoder("application/openmetrics-text;version=1.0.0")
gauge = encoders.GaugeMetricFamily("a", "About it.", value=1)
class Collector:
    def collect(self):
        return [gauge]
assert encode(Collector()) == b"# HELP a About it.\\n# TYPE a gauge\\na 1.0\\n"
assert encode_open(Collector()) == b"# HELP a About it.\\n# TYPE a gauge\\na 1.0\\n# EOF\\n"
import http.server, ssl, urllib.request
assert urllib.request.Request("http://x/").full_url == "http://x/"
"""


@pytest.mark.parametrize("load", [LEAN, BROKEN], ids=["lean", "fallback"])
def test_library_is_whole_enough_and_nothing_is_left_of_the_stand_ins(load: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-c", load + RENDER], capture_output=True, check=False, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
