"""The process behind a bad disk: mounts it, and answers the kernel as commanded.

    python -m bench.bad_disk.server DIRECTORY

The first line of the output is `mounted`, or why that failed. Then each line of the input is
a command in JSON, which is answered by a line with the number of requests that are held, by
operation. It ends when the input does, or when it is unmounted; all that is held fails then.

One thread does everything, so that a held request delays no other. That
is why this speaks to /dev/fuse itself: with libfuse below it (mfusepy, pyfuse3) a request
that is held holds one of the library's threads, of which there are few, and the disk would
hang as a whole at the eleventh. It also needs no package that a test machine may lack.
"""

from __future__ import annotations

import ctypes
import heapq
import json
import os
import random
import select
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.bad_disk import wire
from bench.bad_disk.disk import Disk

# They have no answer, or come before and after everything else.
UNTOUCHED = frozenset({"forget", "batch_forget", "interrupt", "init", "destroy", ""})
OPERATIONS = frozenset(wire.OPERATIONS.values()) - UNTOUCHED

_UNANSWERED = frozenset({"forget", "batch_forget", "interrupt"})
_OPTIONS = "rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions"


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to requests of one operation: wait for ever, wait so long, or fail.

    With `most_s` they wait in turn, each a random time from `delay_s` to that.
    """

    delay_s: float | None = None
    most_s: float = 0.0
    error: int = 0


class Server:
    """Between the kernel and the process that gives the commands."""

    def __init__(self, fd: int, disk: Disk) -> None:
        self._fd = fd
        self._disk = disk
        self._rules: dict[str, Rule] = {}
        self._held: list[wire.Request] = []
        # When, and in which order; requests themselves cannot be compared.
        self._delayed: list[tuple[float, int, wire.Request]] = []
        # When the head of a disk that seeks is free again.
        self._head_free_at = 0.0

    def run(self, commands: int) -> None:
        """Serve until either side has gone."""
        poll = select.poll()
        for fd in (self._fd, commands):
            poll.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll(self._next_due_ms())]
            if commands in ready and not self._obey(os.read(commands, 1 << 16)):
                return
            if self._fd in ready and not self._receive():
                return
            self._answer_due()

    def _receive(self) -> bool:
        """Take one request from the kernel; False when it has unmounted us."""
        try:
            request = wire.parse_request(os.read(self._fd, wire.READ_SIZE))
        except BlockingIOError:
            return True
        except FileNotFoundError:
            # Interrupted before it was read.
            return True
        except OSError:
            return False
        rule = self._rules.get(request.name) if self._disk.knows(request.name) else None
        if rule is None:
            self._answer(request)
        elif rule.error:
            self._send(wire.answer(request.unique, error=rule.error))
        elif rule.delay_s is None:
            self._held.append(request)
        else:
            due = self._due(rule.delay_s, rule.most_s)
            heapq.heappush(self._delayed, (due, request.unique, request))
        return True

    def _due(self, delay_s: float, most_s: float) -> float:
        """Return when to answer what has just come."""
        now = time.monotonic()
        if not most_s:
            return now + delay_s
        self._head_free_at = max(now, self._head_free_at) + random.uniform(delay_s, most_s)
        return self._head_free_at

    def _obey(self, lines: bytes) -> bool:
        """Carry out commands; False when there will be no more."""
        for line in lines.splitlines():
            self._command(**json.loads(line))
            print(json.dumps(Counter(request.name for request in self._held)), flush=True)
        return bool(lines)

    def _command(self, verb: str, operations: list[str] | None = None, **how: Any) -> None:
        if verb == "rule":
            for name in operations or OPERATIONS:
                self._rules[name] = Rule(**how)
        elif verb == "release":
            self._rules.clear()
            held, self._held = self._held, []
            held += [request for _, _, request in sorted(self._delayed)]
            self._delayed.clear()
            self._head_free_at = 0.0
            for request in held:
                self._answer(request)

    def _next_due_ms(self) -> float | None:
        if not self._delayed:
            return None
        return max(0.0, self._delayed[0][0] - time.monotonic()) * 1000 + 1

    def _answer_due(self) -> None:
        while self._delayed and self._delayed[0][0] <= time.monotonic():
            self._answer(heapq.heappop(self._delayed)[2])

    def _answer(self, request: wire.Request) -> None:
        try:
            payload, error = self._disk.perform(request), 0
        except OSError as failure:
            payload, error = b"", failure.errno or 5
        if request.name not in _UNANSWERED:
            self._send(wire.answer(request.unique, payload, error))

    def _send(self, data: bytes) -> None:
        try:
            os.write(self._fd, data)
        except FileNotFoundError:
            # The process that asked was killed meanwhile.
            return


def mount(path: str) -> int:
    """Mount on `path`, and return the descriptor behind it.

    **Raises:** `OSError` when that is not allowed or not possible here.
    """
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fd},{_OPTIONS}".encode()
    if libc.mount(b"slow_disk", os.fsencode(path), b"fuse", 0, options):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


def serve(path: str, disk: Disk) -> None:
    """Mount `disk` on `path`, and answer until either side has gone."""
    try:
        fd = mount(path)
    except OSError as error:
        print(f"cannot mount a file system of our own: {error}", flush=True)
        return
    print("mounted", flush=True)
    Server(fd, disk).run(sys.stdin.fileno())


if __name__ == "__main__":
    serve(sys.argv[1], Disk())
