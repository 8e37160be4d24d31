"""Memory that is free inside the process."""

from __future__ import annotations

import psutil
import pytest

from mogpoll.system import memory
from mogpoll.system.memory import release_free_memory


def test_it_may_be_called_at_any_time() -> None:
    release_free_memory()


@pytest.mark.skipif(memory._trim is None, reason="this C library has no malloc_trim")
def test_free_memory_is_given_back() -> None:
    process = psutil.Process()
    # Large for the interpreter's own allocator, small for the C library's.
    kept = [bytes(1000) for _ in range(100_000)]
    last = kept.pop()
    top = process.memory_info().rss
    del kept
    release_free_memory()
    assert process.memory_info().rss < top - 50_000_000
    assert last
