"""Words of the configuration: their values, and errors for unknown ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mogstored.config.values import scalars

LONGER_THAN_INT_ACCEPTS = "9" * 5000


@pytest.mark.parametrize(
    ("word", "number"),
    [("0", 0), ("7", 7), ("007", 7), ("10000", 10_000), (str(2**64 - 1), 2**64 - 1)],
)
def test_number(word: str, number: int) -> None:
    assert scalars.parse_maxconns(word) == number


@pytest.mark.parametrize(
    ("word", "culprit"),
    [
        ("abc", "a"),
        ("12x", "x"),
        ("1 2", " "),
        ("-1", "-"),
        ("+1", "+"),
        ("1.5", "."),
        ("0x10", "x"),
        ("1_000", "_"),
        ("1\n", "\n"),
        ("\u0661", "\u0661"),  # a digit, but not a decimal one of ours
    ],
)
def test_number_names_the_first_bad_character(word: str, culprit: str) -> None:
    with pytest.raises(ValueError, match="not a whole number of at least 1") as caught:
        scalars.parse_maxconns(word)
    assert f"'{culprit}'" in str(caught.value)


def test_number_that_is_missing() -> None:
    with pytest.raises(ValueError, match="missing"):
        scalars.parse_maxconns("")


@pytest.mark.parametrize("word", [str(2**64), "0" * 40 + str(2**64), LONGER_THAN_INT_ACCEPTS])
def test_maxconns_beyond_an_unsigned_long(word: str) -> None:
    with pytest.raises(ValueError, match=str(2**64 - 1)):
        scalars.parse_maxconns(word)


def test_leading_zeros_do_not_make_a_number_large() -> None:
    assert scalars.parse_maxconns("0" * 5000 + "12") == 12


@pytest.mark.parametrize("word", ["0", "-1", "ten", "", "1.5", "00", "2147483648"])
def test_interval_is_positive(word: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        scalars.parse_interval(word)
    assert scalars.parse_interval("1") == 1


@pytest.mark.parametrize("word", ["0", "-1", "x", "10001"])
def test_aio_threads_are_positive(word: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        scalars.parse_aio_threads(word)
    assert scalars.parse_aio_threads("200") == 200


@pytest.mark.parametrize(
    ("parse", "word", "reason"),
    [
        (scalars.parse_maxconns, "many", "not a whole number of at least 1, because of 'm'"),
        (scalars.parse_maxconns, "-3", "not a whole number of at least 1, because of '-'"),
        (scalars.parse_interval, "0", "not a whole number of seconds of at least 1"),
        (scalars.parse_aio_threads, "", "a whole number of at least 1 is missing"),
    ],
)
def test_complaint_says_what_is_wanted(
    parse: Callable[[str], int], word: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{reason}$"):
        parse(word)


@pytest.mark.parametrize(
    ("parse", "lowest", "highest"),
    [
        (scalars.parse_maxconns, 0, 2**64 - 1),
        (scalars.parse_interval, 1, 2**31 - 1),
        (scalars.parse_time_limit, 1, 2**31 - 1),
        (scalars.parse_error_limit, 0, 100_000),
        (scalars.parse_aio_threads, 1, 10_000),
        (scalars.parse_scrub_rate, 1, 1_000_000),
    ],
)
def test_lowest_and_highest_number(parse: Callable[[str], int], lowest: int, highest: int) -> None:
    assert [parse(str(lowest)), parse(str(highest))] == [lowest, highest]
    for number in (lowest - 1, highest + 1):
        with pytest.raises(ValueError, match=r"\w"):
            parse(str(number))


def test_no_maxconns_are_those_of_the_default() -> None:
    assert scalars.parse_maxconns("00") == 0


@pytest.mark.parametrize("word", ["1", "yes", "true", "on"])
def test_switch_on(word: str) -> None:
    assert scalars.parse_switch(word) is True


@pytest.mark.parametrize("word", ["0", "no", "false", "off"])
def test_switch_off(word: str) -> None:
    assert scalars.parse_switch(word) is False


@pytest.mark.parametrize("word", ["", "2", "YES", "maybe", "yes no"])
def test_switch_that_is_neither(word: str) -> None:
    with pytest.raises(ValueError, match="neither yes nor no"):
        scalars.parse_switch(word)


@given(st.integers(0, 2**64 - 1), st.integers(0, 30))
def test_any_number_in_range_is_read(number: int, zeros: int) -> None:
    assert scalars.parse_maxconns("0" * zeros + str(number)) == number


@given(st.text() | st.text("0123456789"))
@example("20000000000000000000")
def test_a_number_is_what_has_digits_only(word: str) -> None:
    if word and set(word) <= set("0123456789"):
        if int(word) <= scalars.MAX_MAXCONNS:
            assert scalars.parse_maxconns(word) == int(word)
        else:
            with pytest.raises(ValueError, match="more than"):
                scalars.parse_maxconns(word)
    else:
        with pytest.raises(ValueError, match="a whole number of at least 1"):
            scalars.parse_maxconns(word)
