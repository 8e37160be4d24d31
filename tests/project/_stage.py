"""A stage for the commands of the documents: their paths and addresses lead into a folder.

`/etc`, `/opt`, `/run`, `/usr` and `/var` are below it, `mogstored` and `python` are those under
test, and ports are given. Lines that blocks.toml leaves out are left out.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.project._blocks import Block
from tests.project._tree import ROOT
from tests.support.waiting import PATIENCE_S

_PATH = re.compile(r"(?<![\w.:/-])/(?=(?:etc|opt|run|usr|var)/)")
_PROGRAM = '#!/bin/sh\nexec {} "$@"\n'


class Stage:
    """`addresses` has what stands for an address of the documents."""

    def __init__(self, folder: Path, addresses: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.addresses = addresses or {}
        self._programs = folder / "programs"
        self._programs.mkdir()
        self.add_program("python", f"{shlex.quote(sys.executable)}")
        self.add_program("mogstored", f"{shlex.quote(sys.executable)} -P -m mogstored")

    def add_program(self, name: str, command: str) -> Path:
        """Make a program of that name; return where it is."""
        path = self._programs / name
        path.write_text(_PROGRAM.format(command))
        path.chmod(0o755)
        return path

    def path(self, name: str) -> Path:
        """Return what an absolute path of the documents stands for."""
        return self.folder / name.lstrip("/")

    def staged(self, text: str) -> str:
        """Return text with paths and addresses of the stage."""
        for shown, real in self.addresses.items():
            text = text.replace(shown, real)
        return _PATH.sub(self._moved, text)

    def _moved(self, found: re.Match[str]) -> str:
        # Directories of temporary files are below /var on some systems.
        is_there = found.string.startswith(str(self.folder), found.start())
        return "/" if is_there else f"{self.folder}/"

    def write(self, name: str, text: str) -> Path:
        """Write the file of an absolute path."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.staged(text))
        return path

    def run(self, block: Block, *, status: int = 0, cwd: Path = ROOT) -> str:
        """Run a block without the lines that are to be left out; return what it printed."""
        lines = [line for line in block.text.splitlines() if not line.startswith(block.skipped)]
        return self.run_line("\n".join(lines), status=status, cwd=cwd)

    def run_line(self, line: str, *, status: int = 0, cwd: Path = ROOT) -> str:
        """Run a command; return what it printed."""
        done = subprocess.run(
            ["sh", "-euc", self.staged(line)],
            cwd=cwd,
            env={
                **os.environ,
                "PATH": f"{self._programs}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
                "CURL_HOME": str(self.folder),
                "no_proxy": "*",
                "COLUMNS": "200",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == status, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout
