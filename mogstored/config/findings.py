"""What is wrong with a configuration, or doubtful: collected in the order it was met."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One error or warning; only an error may have several lines."""

    lines: tuple[str, ...]
    is_error: bool


class Findings:
    """A list of findings that knows how a start and a check look at it."""

    def __init__(self) -> None:
        self._met: list[Finding] = []

    def warn(self, text: str) -> None:
        self._met.append(Finding((text,), is_error=False))

    def error(self, *lines: str) -> None:
        self._met.append(Finding(lines, is_error=True))

    @property
    def errors(self) -> int:
        return sum(finding.is_error for finding in self._met)

    @property
    def warnings(self) -> int:
        return len(self._met) - self.errors

    def lines(self) -> list[str]:
        """List everything."""
        return [line for finding in self._met for line in finding.lines]

    def lines_to_first_error(self) -> list[str]:
        """List what a start says: it goes no further than the first error."""
        said: list[str] = []
        for finding in self._met:
            said += finding.lines
            if finding.is_error:
                break
        return said
