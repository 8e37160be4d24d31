"""Run pytest in a child process, with a time limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_pytest(
    arguments: list[str], limit_s: float, environment: dict[str, str] | None = None
) -> tuple[int | None, str]:
    """Return the exit status, None if the time is over, and the output."""
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
        # Bytes even if text was asked for.
        return None, error.stdout.decode(errors="replace") if error.stdout else ""
    return done.returncode, done.stdout
