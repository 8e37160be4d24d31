"""Run the program to its end: for starts that fail, and options that only print."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PROGRAM = [sys.executable, "-P", "-m", "mogstored"]


def run(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | str = "/",
    wrapper: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run the program and return its status and what it printed.

    `env` is added to the environment; None removes a variable. `wrapper` is a command that
    replaces itself with the program.
    """
    changed = {**os.environ, **(env or {})}
    return subprocess.run(
        [*wrapper, *PROGRAM, *arguments],
        cwd=cwd,
        env={name: value for name, value in changed.items() if value is not None},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=PATIENCE_S,
        check=False,
    )
