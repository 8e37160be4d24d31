"""The header of a test run, and fixtures for all tests.

How imports work: the packages under test come from where they are installed, `tests` comes from
this checkout. pytest imports this file as `tests.conftest` and, with `--import-mode=append`,
puts the checkout at the END of sys.path: `from tests.support.daemon import Node` is found there,
and an installed mogpoll or mogstored is found before the checkout's own. `python -m pytest`
would put the current directory first; PYTHONSAFEPATH=1 or `python -P -m pytest` keeps it out.
The node is started with `-P` for the same reason, and from `/`.
"""

from __future__ import annotations

import itertools
import os
import platform
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import mogstored
from tests.support.daemon import Node
from tests.support.required import refuse_skip
from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_numbers = itertools.count(1)

# No deadline: the time of an example depends on the machine.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

# A shell's background jobs, and their children, ignore SIGINT.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Under nohup SIGHUP is ignored.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_report_header() -> list[str]:
    """Show the system, the packages and the backend: reports come from several systems."""
    backend = os.environ.get("MOGPOLL_BACKEND") or "the system's own"
    library = os.environ.get("MOGPOLL_LIBKQUEUE") if backend == "kqueue" else None
    system = " ".join((platform.system(), platform.release(), platform.machine()))
    return [
        f"system: {system}, {platform.python_implementation()} {platform.python_version()}",
        f"mogstored: {mogstored.__file__}",
        f"poller backend: {backend}" + (f" over {library}" if library else ""),
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests with a limit of their own the machine's share of it, as `--timeout` has."""
    for item in items:
        limit = item.get_closest_marker("timeout")
        if limit is not None:
            item.add_marker(pytest.mark.timeout(limit.args[0] * PATIENCE), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped for want of a program that the run requires."""
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a file that is skipped as a whole for the same reason."""
    report = yield
    refuse_skip(report)
    return report


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """One plain node for all tests of a file; each test uses targets of its own."""
    with Node() as node:
        yield node
        # All clients have gone.
        wait_until(lambda: not node.open_files(), "no file is left open")


@pytest.fixture
def target() -> str:
    """A request target on dev1 that no other test uses."""
    return f"/dev1/t{next(_numbers)}"
