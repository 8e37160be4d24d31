"""Addresses to listen on, in all valid forms, and in some that are not valid."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.config.values.addresses import parse_address


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


@given(st.ip_addresses(v=6).filter(lambda host: not host.is_link_local), st.integers(0, 65535))
def test_any_ipv6_address(host: object, port: int) -> None:
    assert parse_address(f"[{host}]:{port}")[:2] == (str(host), port)


@pytest.mark.parametrize(
    "typed", ["localhost:22010", "store-1.example.org:7500", "[localhost]:7500", "eth0:7500"]
)
def test_names_are_refused_with_what_to_give(typed: str) -> None:
    with pytest.raises(ValueError, match=r"names are not allowed; give an IP address"):
        parse_address(typed)


def test_ipv6_address_without_brackets() -> None:
    with pytest.raises(ValueError, match="an IPv6 address needs brackets"):
        parse_address("2001:db8::1:7500")


def loopback() -> tuple[int, str]:
    return socket.if_nameindex()[0]


def test_zone_is_kept_by_name_whether_it_was_named_or_numbered() -> None:
    index, name = loopback()
    for zone in (name, str(index)):
        address = parse_address(f"[FE80:0::1%{zone}]:7500")
        assert address.host == f"fe80::1%{name}"
        assert address.text == f"[fe80::1%{name}]:7500"
        assert address.sockaddr == ("fe80::1", 7500, 0, index)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("[fe80::1]:7500", r"needs its interface, as in \[fe80::1%eth0\]"),
        ("[fe80::1%nowhere0]:7500", "there is no network interface nowhere0"),
        ("[fe80::1%999999999]:7500", "there is no network interface 999999999"),
        (f"[fe80::1%{2**70}]:7500", "there is no network interface"),
        ("[::1%lo]:7500", "only a link-local address has an interface"),
        ("[fe80::1%]:7500", "fe80::1%"),
    ],
)
def test_zone_that_cannot_be_bound(typed: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_address(typed)
