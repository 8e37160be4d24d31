"""What is wrong with a configuration, or doubtful: collected in the order it was met."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error or warning; only an error may have several lines."""

    lines: tuple[str, ...]
    is_error: bool
    is_passing: bool = False
    """Whether it is about what runs on the machine now, and not about the configuration."""


class Diagnostics:
    """A list of diagnostics; a start and a check print all of them."""

    def __init__(self) -> None:
        self._met: list[Diagnostic] = []

    def warn(self, text: str, *, is_passing: bool = False) -> None:
        self._met.append(Diagnostic((text,), is_error=False, is_passing=is_passing))

    def error(self, *lines: str) -> None:
        self._met.append(Diagnostic(lines, is_error=True))

    @property
    def errors(self) -> int:
        return sum(diagnostic.is_error for diagnostic in self._met)

    @property
    def warnings(self) -> int:
        return len(self._met) - self.errors

    def are_fatal(self, *, is_strict: bool) -> bool:
        """Say whether a node must not start so; if strict, because of a warning, too."""
        return any(each.is_error or (is_strict and not each.is_passing) for each in self._met)

    def lines(self) -> list[str]:
        """List everything, in the order in which it was met."""
        return [line for diagnostic in self._met for line in diagnostic.lines]
