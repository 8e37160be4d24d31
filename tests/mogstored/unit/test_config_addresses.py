"""Addresses to listen on, in every form that is one, and in some that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.listeners import parse_address


@pytest.mark.parametrize(
    ("typed", "host", "port"),
    [
        ("10.0.0.1:7500", "10.0.0.1", 7500),
        ("0.0.0.0:7500", "0.0.0.0", 7500),
        (":7500", "0.0.0.0", 7500),
        ("7500", "0.0.0.0", 7500),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("65535", "0.0.0.0", 65535),
        ("07500", "0.0.0.0", 7500),
        ("[::1]:7500", "::1", 7500),
        ("[::]:7500", "::", 7500),
        ("[2001:DB8:0::1]:7500", "2001:db8::1", 7500),
    ],
)
def test_address(typed: str, host: str, port: int) -> None:
    assert parse_address(typed) == (host, port, typed)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        ":",
        "10.0.0.1",
        "10.0.0.1:",
        "10.0.0.1:http",
        "10.0.0.1:65536",
        "10.0.0.1:-1",
        "10.0.0.1:+1",
        "10.0.0.1: 1",
        "10.0.0:1",
        "10.0.0.1.2:1",
        "666.0.0.1:7500",
        "foo:1",
        "localhost:7500",
        "::1:7500",
        "[::1]",
        "[::1]7500",
        "[10.0.0.1]:7500",
        "[]:7500",
        "[::1:7500",
        "7500\n",
        "9" * 5000,
        "\u0661",
    ],
)
def test_no_address(typed: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_address(typed)


@given(st.ip_addresses(v=4), st.integers(0, 65535))
def test_any_ipv4_address(host: object, port: int) -> None:
    assert parse_address(f"{host}:{port}")[:2] == (str(host), port)


@given(st.ip_addresses(v=6), st.integers(0, 65535))
def test_any_ipv6_address(host: object, port: int) -> None:
    assert parse_address(f"[{host}]:{port}")[:2] == (str(host), port)
