"""What every measurement of a budget is given, and how large it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.figures import Sample
from bench.outcome import Outcome
from bench.peers import Workshop
from bench.rounds import Method
from bench.works import MIB

_SERVERS_BYTES = 1024 * MIB


class CannotMeasure(Exception):
    """Something that a row needs is not here; the text says what."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    connections: tuple[int, ...]
    idle: int
    arrivals: int
    devices: int
    put_large_bytes: int
    put_md5_bytes: int
    digest_mib: int

    @property
    def space_bytes(self) -> int:
        """What the largest row may need: files for up to four servers, or large ones in turn."""
        return _SERVERS_BYTES + max(2 * self.put_large_bytes, self.digest_mib * MIB)


FULL = Scale((1, 16, 128), 10_000, 4_000, 500, 1024 * MIB, 256 * MIB, 1024)
# Enough to see that every row works, and no more.
QUICK = Scale((16,), 1_000, 400, 50, 64 * MIB, 16 * MIB, 32)


@dataclass(frozen=True, slots=True)
class Setting:
    """`place` is a directory for this row alone."""

    place: Path
    workshop: Workshop
    method: Method
    scale: Scale
    cmogstored: str | None


Measure = Callable[[Setting], Iterable[Outcome]]


def plain(samples: Mapping[str, Sequence[Sample]]) -> dict[str, object]:
    """The samples of everybody who took turns, as JSON has them."""
    return {name: [asdict(sample) for sample in own] for name, own in samples.items()}
