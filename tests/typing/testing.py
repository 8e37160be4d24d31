"""The helpers for users' tests."""

from __future__ import annotations

from typing import assert_type

from mogpoll import Poller
from mogpoll.testing import Backend, available_backends


def every_backend() -> None:
    for backend in available_backends():
        assert_type(backend, Backend)
        assert_type(backend.open(), Poller)
        assert_type(backend.environment(), dict[str, str])
