"""Rules of who may connect: what is legal, what it means, and what is said of the rest."""

from __future__ import annotations

import ipaddress

import pytest

from mogstored.config.command_line import parse
from mogstored.config.diagnostics import Diagnostics
from mogstored.config.file import parse_file
from mogstored.config.loading import Option, load
from mogstored.config.report import describe
from mogstored.config.values.networks import AccessRule, parse_allowed, parse_denied, parse_line


def v4(text: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(text)


@pytest.mark.parametrize(
    ("text", "listener", "networks"),
    [
        ("10.0.0.0/8", "", [v4("10.0.0.0/8")]),
        ("10.0.0.1", "", [v4("10.0.0.1/32")]),
        ("10.0.0.0/255.0.0.0", "", [v4("10.0.0.0/8")]),
        ("0.0.0.0/0", "", [v4("0.0.0.0/0")]),
        ("all", "", [None]),
        ("fd00::/8", "", [ipaddress.IPv6Network("fd00::/8")]),
        ("::1", "", [ipaddress.IPv6Network("::1/128")]),
        ("dead:beef::/32", "", [ipaddress.IPv6Network("dead:beef::/32")]),
        ("fe80::/10", "", [ipaddress.IPv6Network("fe80::/10")]),
        ("::ffff:10.0.0.0/104", "", [v4("10.0.0.0/8")]),
        ("::ffff:10.0.0.1", "", [v4("10.0.0.1/32")]),
        ("mgmt:all", "mgmt", [None]),
        ("admin:::1", "admin", [ipaddress.IPv6Network("::1/128")]),
        ("http: 10.0.0.0/8, 10.1.0.0/16", "http", [v4("10.0.0.0/8"), v4("10.1.0.0/16")]),
        ("httpget:10.0.0.0/8 all", "httpget", [v4("10.0.0.0/8"), None]),
        ("10.0.0.0/8,192.168.0.0/16", "", [v4("10.0.0.0/8"), v4("192.168.0.0/16")]),
    ],
)
def test_legal(text: str, listener: str, networks: list[object]) -> None:
    allowed, denied = parse_allowed(text), parse_denied(text)
    assert [rule.network for rule in allowed] == [rule.network for rule in denied] == networks
    assert {rule.listener for rule in (*allowed, *denied)} == {listener}
    assert {rule.allows for rule in allowed} == {True}
    assert {rule.allows for rule in denied} == {False}
    assert [parse_line(rule.line) for rule in (*allowed, *denied)] == [*allowed, *denied]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("10.0.0.1/8", r"'10\.0\.0\.1/8': host bits are set; the network is 10\.0\.0\.0/8"),
        ("fd00::1/8", r"'fd00::1/8': host bits are set; the network is fd00::/8"),
        ("10.0.0.0/33", r"'10\.0\.0\.0/33': '33' is not a valid netmask"),
        ("fd00::/129", "'fd00::/129': '129' is not a valid netmask"),
        ("10.0.0/8", r"'10\.0\.0/8': Expected 4 octets in '10\.0\.0'"),
        ("010.0.0.0/8", "Leading zeros"),
        ("10.0.0.0/8/8", "Only one '/'"),
        ("localhost", "'localhost': names are not allowed; give a network such as"),
        ("ALL", "'ALL': names are not allowed"),
        ("fe80::%eth0/64", "'fe80::%eth0/64': a network has no interface"),
        ("10.0.0.0/8,", "a network is missing, such as"),
        ("mgmt:", "a network is missing, such as"),
        ("", "a network is missing, such as"),
        ("mgtm:all", r"there is no listener 'mgtm', only http, .* \(did you mean 'mgmt'\?\)"),
        ("httplisten:all", r"there is no listener 'httplisten'.*\(did you mean 'http'\?\)"),
        ("http:all, mgmt:all", "'mgmt:all': a listener stands only once"),
    ],
)
def test_illegal(text: str, complaint: str) -> None:
    for parse_rules in (parse_allowed, parse_denied):
        with pytest.raises(ValueError, match=f"^.*{complaint}"):
            parse_rules(text)


def rules_of(lines: str) -> list[str]:
    """Return the rules that a config file makes."""
    diagnostics = Diagnostics()
    source = parse_file(lines.encode(), "conf", diagnostics)
    assert diagnostics.lines() == []
    said = source.get("allow")
    return [] if said is None else [rule.line for rule in said.value]


def test_order_of_a_file_is_kept() -> None:
    lines = "deny = 10.0.0.1\nallow = 10.0.0.0/8, ::1\ndeny = mgmt:all\nallow = all\n"
    assert rules_of(lines) == [
        "deny = 10.0.0.1",
        "allow = 10.0.0.0/8",
        "allow = ::1",
        "deny = mgmt:all",
        "allow = all",
    ]


def test_options_come_before_a_file(tmp_path: object) -> None:
    with open(f"{tmp_path}/conf", "w") as file:
        file.write(f"docroot = {tmp_path}\nallow = 10.0.0.0/8\ndeny = all\n")
    arguments = [f"--config={tmp_path}/conf", "--deny=10.0.0.1", "--allow=admin:::1"]
    config, diagnostics = load(parse("mogstored", arguments).options, {})
    assert not diagnostics.errors
    (service,) = config.services
    assert [rule.line for rule in service.access] == [
        "deny = 10.0.0.1",
        "allow = admin:::1",
        "allow = 10.0.0.0/8",
        "deny = all",
    ]
    # What --check-config prints says the same again.
    lines = [line for line in describe(config).splitlines() if line[:5] in ("allow", "deny ")]
    assert rules_of("\n".join(lines)) == [rule.line for rule in service.access]


def test_all_wrong_ones_are_named(tmp_path: object) -> None:
    with open(f"{tmp_path}/conf", "w") as file:
        file.write(f"docroot = {tmp_path}\nallow = 10.0.0.1/8\ndeny = every\n")
    _, diagnostics = load([Option("config", f"{tmp_path}/conf")], {})
    network, hint = "the network is 10.0.0.0/8", "give a network such as 10.0.0.0/8"
    assert diagnostics.lines() == [
        f"{tmp_path}/conf:2: allow = 10.0.0.1/8: '10.0.0.1/8': host bits are set; {network}",
        f"{tmp_path}/conf:3: deny = every: 'every': names are not allowed; {hint}",
    ]


def test_rules_can_be_sent_to_other_processes() -> None:
    rule = AccessRule(True, "http", v4("10.0.0.0/8"), "10.0.0.0/8")
    assert parse_line(rule.line) == rule
