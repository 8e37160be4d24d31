"""Small faults for mogpoll, each of which some test must notice; see `tests.mutations`."""

from __future__ import annotations

from tests.mogpoll.faults.backends import BACKENDS
from tests.mogpoll.faults.fault import Fault
from tests.mogpoll.faults.threads import THREADS
from tests.mogpoll.faults.wakers import WAKERS

__all__ = ["FAULTS", "Fault"]

FAULTS = BACKENDS + WAKERS + THREADS
