"""A program in a process of its own, so that it does not share our interpreter.

It is `python -m MODULE ARGUMENTS...`, answers each line of its input with a line of JSON, and ends
with its input: also when we are killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Self

from bench.base.cleanup import signals_deferred
from bench.servers.peers import PeerFailed

# The bench is found in the checkout only.
ROOT = Path(__file__).resolve().parent.parent.parent


def environment() -> dict[str, str]:
    """Our environment, in which the bench is found where the program starts."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}


class Child:
    """`pass_fds` are descriptors that it inherits, by their numbers here."""

    def __init__(self, module: str, *arguments: object, pass_fds: Collection[int] = ()) -> None:
        self._argv = [sys.executable, "-m", module, *map(str, arguments)]
        self._pass_fds = tuple(pass_fds)

    def __enter__(self) -> Self:
        with signals_deferred():
            self._process = subprocess.Popen(
                self._argv,
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=self._pass_fds,
                start_new_session=True,  # Ctrl-C is for us
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:
            pass

    def ask(self, command: str) -> Any:
        """Send a line and return the answer to it. Raises: PeerFailed when the child has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answer = ""
        try:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            pass
        if not answer:
            raise PeerFailed(f"a child has ended: {' '.join(self._argv)}")
        return json.loads(answer)


def serve(answer: Callable[[str], object]) -> None:
    """The child's side: answer every line, and end with the input, whatever threads there are."""
    for line in sys.stdin:
        print(json.dumps(answer(line.strip())), flush=True)
    # Threads that sleep in the kernel are not worth waiting for.
    os._exit(0)
