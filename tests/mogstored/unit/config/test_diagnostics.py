"""Which findings keep a node from starting, and how they are counted."""

from __future__ import annotations

import pytest

from mogstored.config.diagnostics import Diagnostics


def found(kinds: str) -> Diagnostics:
    """Return an error, a warning or a passing warning for each letter."""
    diagnostics = Diagnostics()
    for kind in kinds:
        if kind == "e":
            diagnostics.error("an error", "of two lines")
        else:
            diagnostics.warn(f"a warning {kind}", is_passing=kind == "p")
    return diagnostics


@pytest.mark.parametrize(
    ("kinds", "fatal", "fatal_if_strict", "errors", "warnings"),
    [
        ("", False, False, 0, 0),
        ("p", False, False, 0, 1),
        ("w", False, True, 0, 1),
        ("pw", False, True, 0, 2),
        ("e", True, True, 1, 0),
        ("pewe", True, True, 2, 2),
    ],
)
def test_errors_are_fatal_and_warnings_if_strict(
    kinds: str, fatal: bool, fatal_if_strict: bool, errors: int, warnings: int
) -> None:
    diagnostics = found(kinds)
    assert diagnostics.are_fatal(is_strict=False) == fatal
    assert diagnostics.are_fatal(is_strict=True) == fatal_if_strict
    assert (diagnostics.errors, diagnostics.warnings) == (errors, warnings)


def test_lines_are_in_the_order_in_which_they_were_met() -> None:
    assert found("wep").lines() == ["a warning w", "an error", "of two lines", "a warning p"]


def test_warning_does_not_pass_unless_it_is_said() -> None:
    diagnostics = Diagnostics()
    diagnostics.warn("a warning")
    assert diagnostics.are_fatal(is_strict=True)
