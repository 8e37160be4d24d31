"""How much must stay free: sizes, parts of the whole, and what is neither."""

from __future__ import annotations

import pytest

from mogstored.config.values.free_space import parse_min_free


@pytest.mark.parametrize(
    ("word", "total", "expected"),
    [
        ("1", 0, 1),
        ("4096", 0, 4096),
        ("10K", 0, 10 * 2**10),
        ("10M", 0, 10 * 2**20),
        ("10G", 0, 10 * 2**30),
        ("10GB", 0, 10 * 2**30),
        ("10GiB", 0, 10 * 2**30),
        ("2T", 0, 2 * 2**40),
        ("1P", 0, 2**50),
        ("5%", 2000, 100),
        ("0.5%", 2000, 10),
        ("99.999%", 100_000, 99_999),
    ],
)
def test_legal(word: str, total: int, expected: int) -> None:
    assert parse_min_free(word).of(total) == expected
    assert str(parse_min_free(word)) == word


@pytest.mark.parametrize(
    "word", ["", "G", "10g", "-1", "1.5G", "10 G", "10X", "%", "100%", "5.%", "-5%", "1e3", "५"]
)
def test_illegal(word: str) -> None:
    with pytest.raises(ValueError, match=r"^neither a size such as 10G nor a part below 100%"):
        parse_min_free(word)


@pytest.mark.parametrize("word", ["0", "0G", "0%", "0.0%"])
def test_nothing_is_no_limit(word: str) -> None:
    with pytest.raises(ValueError, match=r"^0 is no limit; for none, leave it out$"):
        parse_min_free(word)
