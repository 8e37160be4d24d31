"""A program in a process of its own, so that it does not share our interpreter.

It is `python -m MODULE ARGUMENTS...`, answers each line it is sent with a line of JSON, and ends
with its input: also when we are killed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

from bench.peers import PeerFailed, child_environment

_ROOT = Path(__file__).resolve().parent.parent.parent


class Child:
    """`pass_fds` are descriptors that it inherits, by their numbers here."""

    def __init__(self, module: str, *arguments: object, pass_fds: Collection[int] = ()) -> None:
        self._argv = [sys.executable, "-m", module, *map(str, arguments)]
        self._pass_fds = tuple(pass_fds)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._argv,
            cwd=_ROOT,
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=self._pass_fds,
            start_new_session=True,  # Ctrl-C is for us
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        with self._process:
            pass

    def ask(self, command: str) -> Any:
        """Send a line and return the answer to it. Raises: PeerFailed when the child has ended."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            answer = ""
        else:
            answer = self._process.stdout.readline()
        if not answer:
            raise PeerFailed(f"a child has ended: {' '.join(self._argv)}")
        return json.loads(answer)
