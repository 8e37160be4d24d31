"""Compare the files of a disk whose power has failed with what was acknowledged before."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from mogstored.files import leftovers
from mogstored.files.checksums import at_rest
from tests.crash.history import Verdict, digest_of
from tests.crash.load import CHANGED, NEIGHBOUR

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.crash.load import Names

# Of the file system, of the node, of the load.
_EXPECTED = frozenset({"lost+found", "usage", NEIGHBOUR, ".mogstored", "test-write"})

_MOST_EXAMPLES = 3

LEFTOVER = "left-overs"
CHECKSUM = "checksum"
"""A file whose content is not that of its checksum."""
WRONG = "wrong"
"""A file that was not asked for, or cannot be read."""


class Findings:
    """How often each thing was found, with a few examples."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._examples: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, what: str, example: str) -> None:
        self.counts[what] += 1
        if len(self._examples[what]) < _MOST_EXAMPLES:
            self._examples[what].append(f"{what}: {example}")

    def merge(self, other: Findings) -> None:
        self.counts += other.counts
        for what, lines in other._examples.items():
            mine = self._examples[what]
            mine += lines[: _MOST_EXAMPLES - len(mine)]

    def examples(self, chosen: Iterable[str]) -> list[str]:
        return [line for what in chosen for line in self._examples[what]]


def inspect(disk: Path, names: Names, moment: int, findings: Findings) -> None:
    """Compare the files below `disk` with what they may be after a cut at `moment`."""
    contents = _contents(disk, findings)
    for path, name in names.items():
        digest, size = contents.pop(path, (None, 0))
        verdict = name.judge(digest, moment)
        if verdict is not Verdict.RIGHT:
            findings.add(verdict.value, f"{path} at {moment}, {size} bytes: {name.changes}")
    for path in contents:
        findings.add(WRONG, f"{path} was never asked for")


def _contents(disk: Path, findings: Findings) -> dict[str, tuple[str, int]]:
    """Return the digest and the size of each file below `disk` by its path."""
    contents = {}
    for directory, directories, files in os.walk(disk):
        if directory == str(disk):
            directories[:] = [name for name in directories if name not in _EXPECTED]
            files = [name for name in files if name not in _EXPECTED]
        for name in files:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, disk)
            if leftovers.is_temporary(os.fsencode(name)):
                findings.add(LEFTOVER, relative)
                continue
            try:
                with open(path, "rb") as file:
                    content = file.read()
                    if problem := _checksum_problem(file.fileno(), content):
                        findings.add(CHECKSUM, f"{relative}: {problem}")
            except OSError as error:
                findings.add(WRONG, f"{relative}: {error.strerror}")
                continue
            if not relative.startswith(f"{CHANGED}/"):
                contents[relative] = digest_of(content), len(content)
    return contents


def _checksum_problem(fd: int, content: bytes) -> str | None:
    try:
        kept = at_rest.read(fd)
    except at_rest.BadChecksum as bad:
        return f"no checksum: {bad}"
    for algorithm, digest in kept.items():
        if digest != hashlib.new(algorithm, content).digest():
            return f"its {algorithm} is not that of its {len(content)} bytes"
    return None
