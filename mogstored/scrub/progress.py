"""How far the scrub of a device is: what is kept of it over restarts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mogstored.scrub.verdict import Finding, Tally

# So many findings of a device are kept, the last ones.
MAX_FINDINGS = 100


@dataclass(slots=True)
class Progress:
    """Of one device. Times are in seconds since the epoch; 0 stands for never.

    **Threads:** changed by the reader of the device, and read whole by any.
    """

    position: bytes = b""
    """The last file that was read in this round, below the device."""
    began_at: float = 0.0
    ended_at: float = 0.0
    tally: Tally = field(default_factory=Tally)
    """Of the round, until it was resumed last."""
    findings: tuple[tuple[float, Finding], ...] = ()
    """With the time of each."""

    @property
    def is_under_way(self) -> bool:
        return self.began_at > self.ended_at

    def due_in_s(self, now: float, period_s: float) -> float:
        """Return how long there is nothing to do. A clock that was set back begins a round."""
        if self.is_under_way or now < self.began_at:
            return 0.0
        return max(0.0, self.began_at + period_s - now)

    def begin(self, now: float) -> None:
        """Begin a round, unless one is to be resumed."""
        if not self.is_under_way:
            self.position, self.began_at, self.tally = b"", now, Tally()
            # A clock that was set back.
            self.ended_at = min(self.ended_at, now - 1)

    def note(self, finding: Finding, now: float) -> None:
        """Keep a finding, in the place of an earlier one of that file."""
        others = [each for each in self.findings if each[1].path != finding.path]
        self.findings = (*others, (now, finding))[-MAX_FINDINGS:]

    def end(self, now: float) -> None:
        """End the round; what it has not found again is forgotten."""
        self.findings = tuple(each for each in self.findings if each[0] >= self.began_at)
        self.position, self.ended_at = b"", max(now, self.began_at)

    def as_json(self) -> dict[str, Any]:
        return {
            "position": os.fsdecode(self.position),
            "began_at": self.began_at,
            "ended_at": self.ended_at,
            "tally": self.tally.as_json(),
            "findings": [[at, *_texts(finding)] for at, finding in self.findings],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Progress:
        """Return what `as_json` was called for; a new one if that makes no sense."""
        try:
            return cls(
                os.fsencode(str(data["position"])),
                float(data["began_at"]),
                float(data["ended_at"]),
                Tally.from_json(data["tally"]),
                tuple((float(at), Finding(*map(str, texts))) for at, *texts in data["findings"])[
                    -MAX_FINDINGS:
                ],
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()

    def copy_with(self, position: bytes, more: Tally) -> Progress:
        """Return it as it is after reading on to `position`."""
        tally = Tally()
        tally.add(self.tally)
        tally.add(more)
        return replace(self, position=position, tally=tally)


def _texts(finding: Finding) -> tuple[str, str, str, str]:
    return finding.path, finding.kind, finding.expected, finding.found
