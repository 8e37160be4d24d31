"""The available backends as parameters of fixtures and tests.

MOG_KQUEUE_PROFILE names some of `tests.mogpoll.kqueue.profiles` instead, by commas.
"""

from __future__ import annotations

import os

import pytest

from mogpoll import KqueuePoller
from mogpoll.testing import Backend, available_backends
from tests.mogpoll.kqueue.profiled_kqueue import KqueueOf
from tests.mogpoll.kqueue.profiles import PROFILES

__all__ = ["Backend", "parameters"]


def parameters() -> list[object]:
    """Return the backends as parameters of a fixture or a test."""
    if names := os.environ.get("MOG_KQUEUE_PROFILE"):
        return [_of_profile(name) for name in names.split(",")]
    marks = {"kqueue": pytest.mark.kqueue}
    return [
        pytest.param(backend, id=backend.name, marks=marks.get(backend.name, ()))
        for backend in available_backends()
    ]


def _of_profile(name: str) -> object:
    api = KqueueOf(PROFILES[name])
    return pytest.param(Backend("kqueue", lambda: KqueuePoller(api)), id=name)
