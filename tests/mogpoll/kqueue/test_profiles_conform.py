"""The conformance suite on each profile of a BSD's kqueue, with many threads.

    MOG_KQUEUE_PROFILE=netbsd7,darwin python -m pytest tests/mogpoll/conformance

runs it on those by hand. Left out are fork, which the profiles do not know, and wakers alone.
"""

from __future__ import annotations

import os

import pytest

from tests.mogpoll.kqueue.profiles import PROFILES, SYSTEMS
from tests.mogpoll.pytest_run import run_pytest
from tests.support.waiting import PATIENCE

SUITE = "tests/mogpoll/conformance"
# An event costs more there than one of a kernel. Four threads share halves and tenths of them.
EVENTS = 400
LIMIT_S = 280

# What a profile does not deliver, which `test_n62_full_pipe_that_loses_its_reader` shows.
LOST = f"{SUITE}/test_hangup.py::test_n05_pipe_whose_other_end_goes_names_the_direction"


@pytest.mark.skipif("sys.platform != 'linux'", reason="the profiles stand on an epoll")
@pytest.mark.timeout(LIMIT_S + 30)
def test_conformance_suite_holds_on_every_profile() -> None:
    """In one process: four would start for longer than they run."""
    environment = {
        **os.environ,
        "MOG_KQUEUE_PROFILE": ",".join(SYSTEMS),
        "MOG_TEST_EVENTS": str(EVENTS),
    }
    left_out = [f"--ignore={SUITE}/test_fork.py", "-k", "not n31 and not full_waker"]
    for name, profile in PROFILES.items():
        if not profile.full_pipe_reports_its_end:
            left_out.append(f"--deselect={LOST}[{name}-writer]")
    status, said = run_pytest([SUITE, *left_out], LIMIT_S * PATIENCE, environment)
    assert status == 0, said
