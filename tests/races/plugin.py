"""A plugin of pytest: tests and the nodes that they start run under a `Yielder`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mogpoll
import mogstored
from tests.races import yielder
from tests.races.yielder import Yielder
from tests.support.daemon import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDERS = tuple(f"{folder}/" for each in (mogpoll, mogstored) for folder in each.__path__)
DISTANCE = int(os.environ.get("MOG_RACES_DISTANCE", "40"))
SEED = int(os.environ.get("MOG_RACES_SEED", "0"))

_IN_NODE = "\nYielder({folders!r}, {distance}, {seed}).install()\n"


def pytest_configure() -> None:
    text = Path(yielder.__file__).read_text(encoding="utf-8")
    text += _IN_NODE.format(folders=FOLDERS, distance=DISTANCE, seed=SEED)
    plain = Node.__init__

    def start(self: Node, *arguments: Any, injected: str = "", **named: Any) -> None:
        plain(self, *arguments, injected=text + injected, **named)

    Node.__init__ = start  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def yields(request: pytest.FixtureRequest) -> Iterator[None]:
    """Trace the threads of one test."""
    Yielder(FOLDERS, DISTANCE, SEED + len(request.node.nodeid)).install()
    yield
    sys.settrace(None)
    threading.settrace(None)
