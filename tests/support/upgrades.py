"""A node that is upgraded while it runs: several generations of processes, one address."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from tests.support.daemon import Node
from tests.support.processes import is_gone
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.support.daemon import Address


def free_address() -> Address:
    """Return a free address: a new process of an upgrade needs the same one.

    On Linux it has a host of its own, where no client of another test gets the port.
    """
    pid = os.getpid()
    host = f"127.{1 + (pid >> 16) % 100}.{pid >> 8 & 255}.{pid & 255}"
    with socket.create_server((host if sys.platform == "linux" else "127.0.0.1", 0)) as sock:
        host, port = sock.getsockname()
        return host, port


class Generations:
    """A node and its successors; `current` is the process that leads, as the tests see it."""

    def __init__(self, node: Node, addr: Address, pidfile: Path | None) -> None:
        self.node = node
        self.addr = addr
        self.pidfile = pidfile
        self.current = node.pid
        self.all = [node.pid]

    def upgrade(self) -> int:
        """Ask the current process for an upgrade; return the new one's number when it serves."""
        begun = len(self.numbers("upgrade started: process"))
        self.send(signal.SIGUSR2)
        wait_until(
            lambda: len(self.numbers("upgrade started: process")) > begun, "an upgrade has begun"
        )
        new = self.numbers("upgrade started: process")[-1]
        self.all.append(new)
        self.node.wait_for_log(rf"mogstored\[{new}\]: ready$")
        return new

    def retire(self, successor: int) -> None:
        """End the current process and go on with `successor`."""
        self.send(signal.SIGQUIT)
        wait_until(lambda: is_gone(self.current), "the old process has ended")
        self.current = successor

    def send(self, number: signal.Signals, pid: int | None = None) -> None:
        psutil.Process(self.current if pid is None else pid).send_signal(number)

    def numbers(self, words: str) -> list[int]:
        """Return the process numbers that were logged behind these words, in order."""
        pattern = re.compile(rf"{words} (\d+)")
        found = (pattern.search(line) for line in self.node.stderr_lines())
        return [int(match[1]) for match in found if match]

    def pid_in_file(self, ending: str = "") -> int | None:
        """Return what the pidfile holds; None when there is none, or nothing in it yet."""
        assert self.pidfile is not None
        try:
            content = self.pidfile.with_name(self.pidfile.name + ending).read_text()
        except FileNotFoundError:
            return None
        return int(content) if content.strip() else None

    def end(self) -> None:
        """Stop all processes that are left, and wait for their ends."""
        left = [psutil.Process(pid) for pid in self.all if not is_gone(pid)]
        for process in left:
            process.send_signal(signal.SIGQUIT)
        _, alive = psutil.wait_procs(left, timeout=PATIENCE_S)
        for process in alive:
            process.kill()
        assert alive == []


@contextmanager
def generations(
    *,
    pidfile: Path | None = None,
    extra: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    injected: str = "",
) -> Iterator[Generations]:
    """Run a node that can be upgraded, and stop all its generations."""
    addr = free_address()
    options = ["--httplisten", f"{addr[0]}:{addr[1]}", *extra]
    if pidfile is not None:
        options += ["--pidfile", str(pidfile)]
    with Node(http=False, extra=options, env=env, injected=injected, checked=False) as node:
        found = Generations(node, addr, pidfile)
        try:
            yield found
        finally:
            found.end()
