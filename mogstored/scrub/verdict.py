"""What can be said of a file that was read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, unique
from typing import Any

from mogstored.log.printable import printable


@unique
class Kind(Enum):
    """A verdict; the value is how findings are shown."""

    SOUND = "sound"
    UNCHECKED = "unchecked"
    """Read to its end; there is no checksum to compare."""
    PASSED_OVER = "passed over"
    """Changed or removed meanwhile, or no regular file."""
    MISMATCH = "mismatch"
    UNREADABLE = "unreadable"
    BAD_CHECKSUM = "bad checksum"
    """The attribute has no digest."""


FINDINGS = (Kind.MISMATCH, Kind.UNREADABLE, Kind.BAD_CHECKSUM)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one file; the texts are printable, and empty where there is nothing to say."""

    kind: Kind
    expected: str = ""
    found: str = ""
    error: OSError | None = field(default=None, compare=False)
    """Why it cannot be read, where the system says so."""

    @property
    def is_finding(self) -> bool:
        return self.kind in FINDINGS


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a file, in printable text."""

    path: str
    kind: str
    expected: str
    found: str

    @classmethod
    def of(cls, path: str, verdict: Verdict) -> Finding:
        return cls(printable(path), verdict.kind.value, verdict.expected, verdict.found)

    def line(self) -> str:
        """Return it as one line of text."""
        expected = f"expected {self.expected}, " if self.expected else ""
        return f"{self.path}: {self.kind}: {expected}found {self.found}"


@dataclass(slots=True)
class Tally:
    """What was read, and with which verdicts."""

    files: int = 0
    read_bytes: int = 0
    verdicts: dict[str, int] = field(default_factory=lambda: {kind.value: 0 for kind in Kind})

    def note(self, verdict: Verdict) -> None:
        """Count a file."""
        self.files += 1
        self.verdicts[verdict.kind.value] += 1

    def add(self, other: Tally) -> None:
        """Add what another one has counted."""
        self.files += other.files
        self.read_bytes += other.read_bytes
        for kind, count in other.verdicts.items():
            self.verdicts[kind] += count

    @property
    def findings(self) -> int:
        return sum(self.verdicts[kind.value] for kind in FINDINGS)

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tally:
        """Return what `as_json` was called for; what is missing or no number counts as 0."""
        tally = cls(_number(data.get("files")), _number(data.get("read_bytes")))
        verdicts = data.get("verdicts")
        if isinstance(verdicts, dict):
            for kind in tally.verdicts:
                tally.verdicts[kind] = _number(verdicts.get(kind))
        return tally


def _number(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0
