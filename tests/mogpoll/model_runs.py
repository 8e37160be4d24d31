"""How many random examples a model is compared with: HYPOTHESIS_PROFILE=long runs for hours."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
_SHORT = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True, database=None
)
_LONG = settings(
    max_examples=2000,
    stateful_step_count=50,
    deadline=None,
    # With so many examples, shrinking a failing one is worth its time.
    phases=list(Phase),
    suppress_health_check=[HealthCheck.too_slow],
)
PROFILE = _LONG if IS_LONG else _SHORT
MARKS = [pytest.mark.slow, pytest.mark.timeout(7200)] if IS_LONG else []
