"""What was asked of each name, what was answered, and which contents it may have after a cut."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from random import Random

# Small files in the inode, files of some blocks, and a few of more than a request brings at once.
_SIZES = ((1, 200), (1000, 16_000), (1000, 16_000), (16_000, 100_000))
_LARGE = (300_000, 900_000)


@dataclass(slots=True)
class Change:
    """A PUT, or a DELETE without a digest; positions of the record when sent and answered."""

    digest: str | None
    sent: int
    answered: int | None = None


class Verdict(Enum):
    """What a disk shows under a name."""

    RIGHT = "right"
    LOST = "lost"
    """An acknowledged PUT is absent, or shows what it replaced."""
    BACK = "back"
    """A file is there after an acknowledged DELETE."""
    HALF = "half"
    """A content that no PUT has brought."""


@dataclass(slots=True)
class Name:
    """The changes of one name, one after the other."""

    changes: list[Change] = field(default_factory=list)

    def begin(self, digest: str | None, position: int) -> Change:
        change = Change(digest, position)
        self.changes.append(change)
        return change

    def judge(self, found: str | None, moment: int) -> Verdict:
        """Judge the digest of what is there after a cut at `moment`; None is absence."""
        sent = [change for change in self.changes if change.sent <= moment]
        if found is not None and found not in {change.digest for change in sent}:
            return Verdict.HALF
        due: str | None = None
        allowed: set[str | None] = {None}
        for change in sent:
            if change.answered is not None and change.answered <= moment:
                due, allowed = change.digest, {change.digest}
            else:
                # Under way: the disk may have it already.
                allowed.add(change.digest)
        if found in allowed:
            return Verdict.RIGHT
        return Verdict.BACK if due is None else Verdict.LOST

    def acknowledged(self) -> int:
        """Return how many changes were answered."""
        return sum(change.answered is not None for change in self.changes)


def draw_content(draw: Random) -> bytes:
    sizes = _LARGE if draw.random() < 0.02 else draw.choice(_SIZES)
    return draw.randbytes(draw.randint(*sizes))


def digest_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()
