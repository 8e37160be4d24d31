"""Words of the configuration: what they mean, and what is said about those that mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.config import values

LONGER_THAN_INT_ACCEPTS = "9" * 5000


@pytest.mark.parametrize(
    ("word", "number"),
    [("0", 0), ("7", 7), ("007", 7), ("10000", 10_000), (str(2**64 - 1), 2**64 - 1)],
)
def test_number(word: str, number: int) -> None:
    assert values.parse_maxconns(word) == number


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
    with pytest.raises(ValueError, match="not a number") as caught:
        values.parse_maxconns(word)
    assert f"'{culprit}'" in str(caught.value)


def test_number_that_is_missing() -> None:
    with pytest.raises(ValueError, match="missing"):
        values.parse_maxconns("")


@pytest.mark.parametrize("word", [str(2**64), "0" * 40 + str(2**64), LONGER_THAN_INT_ACCEPTS])
def test_maxconns_beyond_an_unsigned_long(word: str) -> None:
    with pytest.raises(ValueError, match=str(2**64 - 1)):
        values.parse_maxconns(word)


def test_leading_zeros_do_not_make_a_number_large() -> None:
    assert values.parse_maxconns("0" * 5000 + "12") == 12


def test_worker_processes_up_to_32_bits() -> None:
    assert values.parse_worker_processes("4294967295") == 4294967295
    with pytest.raises(ValueError, match="4294967295"):
        values.parse_worker_processes("4294967296")


@pytest.mark.parametrize("word", ["0", "-1", "ten", "", "1.5", "00", "2147483648"])
def test_interval_is_positive(word: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        values.parse_interval(word)
    assert values.parse_interval("1") == 1


@pytest.mark.parametrize("word", ["0", "-1", "x", "10001"])
def test_aio_threads_are_positive(word: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        values.parse_aio_threads(word)
    assert values.parse_aio_threads("200") == 200


@pytest.mark.parametrize("word", ["1", "yes", "true", "on"])
def test_switch_on(word: str) -> None:
    assert values.parse_switch(word) is True


@pytest.mark.parametrize("word", ["0", "no", "false", "off"])
def test_switch_off(word: str) -> None:
    assert values.parse_switch(word) is False


@pytest.mark.parametrize("word", ["", "2", "YES", "maybe", "yes no"])
def test_switch_that_is_neither(word: str) -> None:
    with pytest.raises(ValueError, match="neither yes nor no"):
        values.parse_switch(word)


@given(st.integers(0, 2**64 - 1), st.integers(0, 30))
def test_any_number_in_range_is_read(number: int, zeros: int) -> None:
    assert values.parse_maxconns("0" * zeros + str(number)) == number


@given(st.text())
def test_a_number_is_what_has_digits_only(word: str) -> None:
    if word and set(word) <= set("0123456789"):
        assert values.parse_maxconns(word) == int(word)
    else:
        with pytest.raises(ValueError, match=r"missing|not a number"):
            values.parse_maxconns(word)
