"""A line of the sidechannel to a command; grammar only, no I/O.

Known commands are matched whole: exactly one space where a space is due, no blanks around
them. Any other line is answered with its first word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mogstored.files.paths import MAX_PATH, is_climbing

MAX_AIO_THREADS = 100

# The reason that a tracker's check sends; every other one is accepted and ignored.
_FSCK = b"fsck"

_PATH = rb"/[A-Za-z0-9/.-]*"
_SIZE = re.compile(rb"size (%b)" % _PATH)
# Trackers know the names and lengths of the longer ones, and do not ask for them yet.
_DIGEST = re.compile(rb"(MD5|SHA-(?:1|224|256|384|512)) (%b)(?: ([A-Za-z0-9_]+))?" % _PATH)
_AIO_THREADS = re.compile(rb"server aio_threads ?= ?([0-9]+)", re.IGNORECASE)
_WATCH = b"watch"
_SHUTDOWN = frozenset({b"shutdown", b"shutdown graceful"})
_WORD = re.compile(rb"[^ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class Size:
    """Answer with the size of a file."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Digest:
    """Read a file and answer with its digest; `algorithm` is the name on the wire."""

    algorithm: bytes
    path: bytes
    fsck: bool = False

    @property
    def hash_name(self) -> str:
        """The name of the algorithm for `hashlib`."""
        return self.algorithm.decode("ascii").replace("-", "").lower()


@dataclass(frozen=True, slots=True)
class Watch:
    """Report the utilization of the disks from now on."""


@dataclass(frozen=True, slots=True)
class SetThreads:
    """Change the number of disk threads."""

    count: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Stop the node gracefully."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer with `text`, which has no line end, and do nothing else."""

    text: bytes


Command = Size | Digest | Watch | SetThreads | Shutdown | Reply

_INVALID_PATH = Reply(b"ERROR: uri invalid (contains ..)")
_INVALID_COUNT = Reply(b"ERROR: aio_threads must be 1 to %d" % MAX_AIO_THREADS)
_BLANK = Reply(b"")


def parse_command(line: bytes) -> Command:
    """Return the command of `line`, given without its LF; one CR at its end is dropped."""
    line = line.removesuffix(b"\r")
    if match := _DIGEST.fullmatch(line):
        algorithm, path, reason = match.groups()
        return Digest(algorithm, path, reason == _FSCK) if _is_valid(path) else _INVALID_PATH
    if match := _SIZE.fullmatch(line):
        return Size(match[1]) if _is_valid(match[1]) else _INVALID_PATH
    if line == _WATCH:
        return Watch()
    if match := _AIO_THREADS.fullmatch(line):
        count = int(match[1])
        return SetThreads(count) if 1 <= count <= MAX_AIO_THREADS else _INVALID_COUNT
    if line in _SHUTDOWN:
        return Shutdown()
    word = _WORD.search(line)
    return _BLANK if word is None else Reply(b"ERROR: unknown command: " + word[0])


def _is_valid(path: bytes) -> bool:
    """Accept a path of the right alphabet unless it is too long, or climbs."""
    return len(path) <= MAX_PATH and not is_climbing(path)
