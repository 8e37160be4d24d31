"""Numbers as the status page prints them."""

from __future__ import annotations

import pytest

from mogstored.admin.page.text import UNKNOWN, count, decimal, duration, percent, size, steps


def spaced(text: str) -> str:
    """Return the text with plain spaces for the two that do not break."""
    return text.replace("\u202f", " ").replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, UNKNOWN), (0, "0"), (999, "999"), (1000, "1 000"), (1234567, "1 234 567")],
)
def test_count_is_grouped(number: int | None, text: str) -> None:
    assert spaced(count(number)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0.0"), (0.25, "0.3"), (9.94, "9.9"), (99.96, "100.0"), (100, "100"), (1234.5, "1 235")],
)
def test_decimal_has_one_digit_below_a_hundred(number: float, text: str) -> None:
    assert spaced(decimal(number)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, UNKNOWN),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1024**2, "1.0 MiB"),
        (16 * 1024**4, "16.0 TiB"),
        (999 * 1024**3, "999 GiB"),
        (1024**7, "1 024 EiB"),
    ],
)
def test_size_has_at_most_three_digits(number: float | None, text: str) -> None:
    assert spaced(size(number)) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(None, UNKNOWN), (0, "0 %"), (0.005, "1 %"), (0.994, "99 %"), (1, "100 %")]
)
def test_percent_is_whole(ratio: float | None, text: str) -> None:
    assert spaced(percent(ratio)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, UNKNOWN),
        (0, "0 s"),
        (0.00031, "0.3 ms"),
        (0.21, "210 ms"),
        (0.96, "1.0 s"),
        (9.9, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 m 00 s"),
        (3599, "59 m 59 s"),
        (3600, "1 h 00 m"),
        (86400 * 3 + 3600 * 4, "3 d 04 h"),
    ],
)
def test_duration_has_two_units(seconds: float | None, text: str) -> None:
    assert spaced(duration(seconds)) == text


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([], ""),
        ([0.5], "M3 10V5H4V10Z"),
        ([0, 0, 1, 1], "M0 10V10H2V0H4V10Z"),
        ([1, None, 1], "M1 10V0H2V10H3V0H4V10Z"),
        ([-1, 2], "M2 10V10H3V0H4V10Z"),
        ([0, 0, 0, 0, 0, 1], "M0 10V10H3V0H4V10Z"),
    ],
    ids=str,
)
def test_steps_end_at_the_right(values: list[float | None], path: str) -> None:
    assert steps(values, 4, 10) == path
