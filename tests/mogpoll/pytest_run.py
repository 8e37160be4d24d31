"""A run of pytest as a process of its own, with a limit, for the checks that are made by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_pytest(
    arguments: list[str], limit_s: float, environment: dict[str, str] | None = None
) -> tuple[int | None, str]:
    """Return the exit status and all that it said; None if it did not end in time."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired as error:
        # What was read until then comes as bytes, whatever was asked for.
        return None, error.stdout.decode(errors="replace") if error.stdout else ""
    return done.returncode, done.stdout
