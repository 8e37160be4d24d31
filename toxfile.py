"""Let tox find the interpreters that `tests.support.build_python` has made in this checkout."""

from __future__ import annotations

import os
from pathlib import Path

_BUILT = Path(__file__).parent / ".cache" / "python" / "bin"
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), str(_BUILT)])
