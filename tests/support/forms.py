"""Both forms of a node: one process, or a master with workers; by the option `extra`."""

from __future__ import annotations

import pytest

SINGLE: list[str] = []
ONE_WORKER = ["--worker-processes=1"]
WORKERS = ["--worker-processes=2"]

_IDS = ["single", "workers"]
FORMS = pytest.mark.parametrize("extra", [SINGLE, WORKERS], ids=_IDS)
# Where more workers would only take longer.
SMALL_FORMS = pytest.mark.parametrize("extra", [SINGLE, ONE_WORKER], ids=_IDS)
