"""`python -m vm` in the process of the test, on a machines.yml of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vm.fake_programs import Programs
from vm import cli
from vm.machines import Machines, load


@dataclass(frozen=True, slots=True)
class Lab:
    place: Path
    programs: Programs
    image: Path
    machines_file: Path
    monkeypatch: pytest.MonkeyPatch

    def vm(self, *arguments: str) -> int:
        """Run `python -m vm` and return its status."""
        self.monkeypatch.setattr(cli, "load", self.load)
        return cli.main(arguments)

    def load(self) -> Machines:
        return load(self.machines_file)

    @property
    def dir(self) -> Path:
        """The directory of the machine that has an image."""
        return self.place / "cache" / "imaged"

    @property
    def results(self) -> Path:
        return self.place / "results" / "imaged"
