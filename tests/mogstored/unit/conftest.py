"""A check after each unit test: it has left no descriptor open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.descriptors import none_left_open

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _leaves_no_descriptor_open() -> Iterator[None]:
    """Set up before the other fixtures of a test, and so checked after them."""
    with none_left_open():
        yield
