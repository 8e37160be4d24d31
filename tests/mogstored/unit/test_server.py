"""What several processes share out: processors without the lock, and memory for files."""

from __future__ import annotations

import pytest

from mogstored import server
from mogstored.files.recent_files import size_in_each
from mogstored.server import running_in_each


@pytest.mark.parametrize(
    ("processors", "processes", "running"),
    [(8, 0, 8), (8, 1, 8), (8, 2, 4), (8, 3, 2), (8, 8, 1), (8, 16, 1), (1, 4, 1)],
)
def test_processes_share_out_the_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, processes: int, running: int
) -> None:
    monkeypatch.setattr(server, "default_spare", lambda: processors)
    assert running_in_each(processes) == running


@pytest.mark.parametrize(
    ("processes", "mib"), [(0, 16), (1, 16), (2, 8), (4, 4), (16, 1), (64, 1)]
)
def test_processes_share_out_the_memory_for_files(processes: int, mib: int) -> None:
    assert size_in_each(processes) == mib << 20
