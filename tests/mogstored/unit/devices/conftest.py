"""A docroot with devices, and devices that hang on demand."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mogstored.files.docroot import Docroot
from tests.support.waiting import wait_until


class Hangs:
    """File systems that do not answer `statvfs`, until they are released."""

    def __init__(self) -> None:
        self._gates: dict[int, threading.Event] = {}
        self._real = os.fstatvfs
        self.blocked: list[int] = []

    def __call__(self, fd: int) -> os.statvfs_result:
        number = os.fstat(fd).st_ino
        gate = self._gates.get(number)
        if gate is not None and not gate.is_set():
            self.blocked.append(number)
            gate.wait()
        return self._real(fd)

    def hang(self, *directories: Path) -> None:
        for directory in directories:
            self._gates[directory.stat().st_ino] = threading.Event()

    def holds(self, directory: Path) -> bool:
        """Say whether a look waits for this one now."""
        try:
            number = directory.stat().st_ino
        except FileNotFoundError:
            return False
        return number in self.blocked and not self._gates[number].is_set()

    def await_blocked(self, count: int = 1) -> None:
        wait_until(lambda: len(self.blocked) >= count, f"{count} calls hang")

    def release(self) -> None:
        for gate in self._gates.values():
            gate.set()


@pytest.fixture
def hangs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hangs]:
    hangs = Hangs()
    monkeypatch.setattr(os, "fstatvfs", hangs)
    yield hangs
    hangs.release()


@pytest.fixture
def docroot(tmp_path: Path) -> Iterator[Docroot]:
    """An empty docroot."""
    path = tmp_path / "docroot"
    path.mkdir()
    docroot = Docroot(str(path))
    yield docroot
    docroot.close()
