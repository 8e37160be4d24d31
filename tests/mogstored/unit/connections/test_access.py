"""Which clients a list of rules lets in."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mogstored.config.values.networks import AccessRule, parse_allowed, parse_denied
from mogstored.connections import access
from mogstored.connections.access import AccessList, Gate, access_list
from tests.support.clock import stop_clock_of_lines
from tests.support.waiting import promptly

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MIXED = ["deny 10.0.0.1", "allow 10.0.0.0/8", "allow fd00::/8", "allow fe80::/10", "deny all"]


def rules(*lines: str) -> list[AccessRule]:
    found: list[AccessRule] = []
    for line in lines:
        verb, _, networks = line.partition(" ")
        found += (parse_allowed if verb == "allow" else parse_denied)(networks)
    return found


@pytest.mark.parametrize(
    ("lines", "host", "allowed"),
    [
        ([], "10.0.0.1", True),
        (["deny all"], "10.0.0.1", False),
        (["deny all"], "fd00::1", False),
        (["allow all", "deny all"], "10.0.0.1", True),
        (MIXED, "10.0.0.1", False),
        (MIXED, "10.0.0.2", True),
        (MIXED, "11.0.0.2", False),
        (MIXED, "fd00::1", True),
        (MIXED, "fc00::1", False),
        # As sockets for IPv6 show clients of IPv4.
        (MIXED, "::ffff:10.0.0.1", False),
        (MIXED, "::ffff:10.0.0.2", True),
        # As systems show an interface.
        (MIXED, "fe80::1%eth0", True),
        (MIXED, "fe80::1", True),
        # The first one counts, not the narrowest.
        (["allow 10.0.0.0/8", "deny 10.0.0.1"], "10.0.0.1", True),
        (["deny 10.0.0.1", "allow 10.0.0.1"], "10.0.0.1", False),
        # None matches.
        (["deny 10.0.0.0/8"], "11.0.0.1", True),
        (["allow 10.0.0.0/8"], "11.0.0.1", True),
        # Every address of one kind, and none of the other.
        (["deny 0.0.0.0/0"], "10.0.0.1", False),
        (["deny 0.0.0.0/0"], "::ffff:10.0.0.1", False),
        (["deny 0.0.0.0/0"], "::1", True),
        (["deny ::/0"], "::1", False),
        (["deny ::/0"], "10.0.0.1", True),
        (["deny ::ffff:10.0.0.0/104"], "10.1.1.1", False),
    ],
)
def test_first_match_counts(lines: list[str], host: str, allowed: bool) -> None:
    assert AccessList(rules(*lines)).allows(host) is allowed


def test_rules_of_a_listener() -> None:
    said = rules("deny mgmt:all", "allow 10.0.0.0/8", "deny http:all")
    hosts = {
        (kind, host): found is None or found.allows(host)
        for kind in ("http", "httpget", "mgmt", "admin")
        for host in ("10.0.0.1", "11.0.0.1")
        for found in [access_list(said, kind)]
    }
    assert [pair for pair, allowed in hosts.items() if not allowed] == [
        ("http", "11.0.0.1"),
        ("mgmt", "10.0.0.1"),
        ("mgmt", "11.0.0.1"),
    ]


def test_no_rule_is_no_list() -> None:
    assert access_list([], "http") is None
    assert access_list(rules("deny mgmt:all"), "http") is None


def naive(said: Sequence[AccessRule], host: str) -> bool:
    address = ipaddress.ip_address(host)
    for rule in said:
        if rule.network is None or address in rule.network:
            return rule.allows
    return True


# Few bits, so that networks and addresses meet.
V4 = st.builds(
    lambda number, length: str(ipaddress.IPv4Network((number << 28, length), strict=False)),
    st.integers(0, 15),
    st.integers(0, 6),
)
V6 = st.builds(
    lambda number, length: str(ipaddress.IPv6Network((number << 124, length), strict=False)),
    st.integers(0, 15),
    st.integers(0, 6),
)
LINES = st.builds(
    lambda verb, network: f"{verb} {network}",
    st.sampled_from(["allow", "deny"]),
    st.one_of(V4, V6, st.just("all")),
)
HOSTS = st.one_of(
    st.integers(0, 15).map(lambda number: str(ipaddress.IPv4Address(number << 28))),
    st.integers(0, 15).map(lambda number: str(ipaddress.IPv6Address(number << 124))),
)


@settings(deadline=None)
@given(lines=st.lists(LINES, max_size=12), host=HOSTS)
def test_as_one_look_at_each_rule(lines: list[str], host: str) -> None:
    said = rules(*lines)
    assert AccessList(said).allows(host) is naive(said, host)


def hundred() -> Iterable[str]:
    for number in range(100):
        yield f"allow 10.{number}.0.0/{(16, 20, 24, 32)[number % 4]}"
    yield "deny all"


def test_hundred_rules_cost_little() -> None:
    found = AccessList(rules(*hundred()))

    def ask() -> None:
        for _ in range(1000):
            found.allows("10.200.1.2")

    assert not found.allows("10.200.1.2")
    # Some us each; a look at every rule takes twenty times as long.
    promptly(ask, 0.02)


def test_gate_counts_and_logs_a_part(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = stop_clock_of_lines(monkeypatch, 1000.0, access._lines)
    gate = Gate("mgmt")
    assert gate.admits("127.0.0.1")
    gate.access = AccessList(rules("deny 127.0.0.0/8"))
    assert [gate.admits("127.0.0.1") for _ in range(13)] == [False] * 13
    now[0] += 5.0
    assert not gate.admits("127.0.0.1")
    gate.access = None
    assert gate.admits("127.0.0.1")
    line = "127.0.0.1 was refused at a listener for mgmt: deny"
    assert caplog.messages == [*[line] * 10, f"{line}; 3 more since the last such line"]


def test_admin_listeners_have_the_rules_of_all_services() -> None:
    lines = ("allow 10.0.0.0/8", "deny http:10.0.0.1", "deny admin:all", "allow mgmt:all")
    services = [SimpleNamespace(access=tuple(rules(*lines))) for _ in "ab"]
    config = SimpleNamespace(services=services)
    found = access.admin_rules(cast("Any", config))
    assert [rule.line for rule in found] == ["allow = 10.0.0.0/8", "deny = admin:all"] * 2
