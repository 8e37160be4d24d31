"""What each unit test begins with, and a check after it: it has left no descriptor open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mogstored.files import disk_errors
from mogstored.log.rate_limit import KeyedRateLimiter
from tests.support.descriptors import none_left_open

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _leaves_no_descriptor_open() -> Iterator[None]:
    """Set up before the other fixtures of a test, and so checked after them."""
    with none_left_open():
        yield


@pytest.fixture(autouse=True)
def _errors_of_other_tests_are_not_logged() -> Iterator[None]:
    """A server logs once a second what was left out of the log in the whole process."""
    # Not with `monkeypatch`, which would undo what a test patches only after all its fixtures.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(disk_errors, "_lines", KeyedRateLimiter(disk_errors._INTERVAL_S))
        yield
