"""What is wrong with a configuration, or doubtful: collected in the order it was met."""

from __future__ import annotations

from enum import Enum, auto


class _Kind(Enum):
    ERROR = auto()
    WARNING = auto()
    PASSING = auto()
    """A warning about what runs on the machine now, and not about the configuration."""


class Diagnostics:
    """A list of diagnostics; a start and a check print all of them."""

    def __init__(self) -> None:
        self._met: list[tuple[_Kind, tuple[str, ...]]] = []

    def warn(self, text: str, *, is_passing: bool = False) -> None:
        self._met.append((_Kind.PASSING if is_passing else _Kind.WARNING, (text,)))

    def error(self, *lines: str) -> None:
        self._met.append((_Kind.ERROR, lines))

    @property
    def errors(self) -> int:
        return sum(kind is _Kind.ERROR for kind, _ in self._met)

    @property
    def warnings(self) -> int:
        return len(self._met) - self.errors

    def are_fatal(self, *, is_strict: bool) -> bool:
        """Say whether a node must not start so; if strict, because of a warning, too."""
        fatal = (_Kind.ERROR, _Kind.WARNING) if is_strict else (_Kind.ERROR,)
        return any(kind in fatal for kind, _ in self._met)

    def lines(self) -> list[str]:
        """List everything, in the order in which it was met."""
        return [line for _, lines in self._met for line in lines]
