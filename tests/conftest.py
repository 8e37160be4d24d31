"""What every test run shows and shares.

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

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count(1)

# How long an example takes says more about the machine than about the code.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

# A shell lets its background jobs ignore the interrupt key, and all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# And nohup ignores this one.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_report_header() -> list[str]:
    """Say what is tested where: reports come from several systems."""
    backend = os.environ.get("MOGPOLL_BACKEND") or "the system's own"
    library = os.environ.get("MOGPOLL_LIBKQUEUE") if backend == "kqueue" else None
    system = " ".join((platform.system(), platform.release(), platform.machine()))
    return [
        f"system: {system}, {platform.python_implementation()} {platform.python_version()}",
        f"mogstored: {mogstored.__file__}",
        f"poller backend: {backend}" + (f" over {library}" if library else ""),
    ]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """One plain node for all tests of a file; each test uses targets of its own."""
    with Node() as node:
        yield node


@pytest.fixture
def target() -> str:
    """A request target on dev1 that no other test uses."""
    return f"/dev1/t{next(_numbers)}"
