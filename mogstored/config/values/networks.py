"""Rules of which clients may connect: words to networks."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from mogstored.config.values.suggestion import did_you_mean

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LISTENER_KINDS = ("http", "httpget", "mgmt", "admin")

_BETWEEN = re.compile(r"\s*,\s*|\s+")
_PREFIX = re.compile(r"([A-Za-z_]+):\s*")
# Else it may be a part of an IPv6 address.
_NOT_HEXADECIMAL = re.compile(r"[G-Zg-z_]")
_ALL = "all"
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


class AccessRule(NamedTuple):
    """A network, None for all, that may connect to a listener, "" for all, or may not.

    `typed` is the network as the operator wrote it.
    """

    allows: bool
    listener: str
    network: Network | None
    typed: str

    @property
    def line(self) -> str:
        """The rule as a line of a config file."""
        verb = "allow" if self.allows else "deny"
        prefix = f"{self.listener}:" if self.listener else ""
        return f"{verb} = {prefix}{self.typed}"


def parse_allowed(text: str) -> tuple[AccessRule, ...]:
    """Return the rules of `allow`, one for each network.

    **Raises:** `ValueError` saying what is wrong with the first wrong one.
    """
    return _parse(text, allows=True)


def parse_denied(text: str) -> tuple[AccessRule, ...]:
    """Return the rules of `deny`, as `parse_allowed` does."""
    return _parse(text, allows=False)


def parse_line(line: str) -> AccessRule:
    """Return the rule whose `line` this is."""
    verb, _, text = line.partition(" = ")
    (rule,) = _parse(text, allows=verb == "allow")
    return rule


def _parse(text: str, *, allows: bool) -> tuple[AccessRule, ...]:
    text = text.strip()
    listener = ""
    prefix = _PREFIX.match(text)
    if prefix is not None and (
        prefix[1] in LISTENER_KINDS or _NOT_HEXADECIMAL.search(prefix[1]) is not None
    ):
        listener = _parse_listener(prefix[1])
        text = text[prefix.end() :]
    return tuple(
        AccessRule(allows, listener, _parse_network(word), word) for word in _BETWEEN.split(text)
    )


def _parse_listener(name: str) -> str:
    if name in LISTENER_KINDS:
        return name
    # The names of the settings come near, too.
    near = did_you_mean(name.removesuffix("listen"), LISTENER_KINDS)
    kinds = ", ".join(LISTENER_KINDS)
    raise ValueError(f"there is no listener '{name}', only {kinds}{near}")


def _parse_network(word: str) -> Network | None:
    if word == _ALL:
        return None
    if not word:
        raise ValueError("a network is missing, such as 10.0.0.0/8, fd00::/8 or all")
    found = _PREFIX.match(word)
    if found is not None and found[1] in LISTENER_KINDS:
        raise ValueError(f"'{word}': a listener stands only once, before all networks of a line")
    if "%" in word:
        raise ValueError(f"'{word}': a network has no interface; leave it out, from the % on")
    if ":" not in word and re.search(r"[^\W\d_]", word):
        raise ValueError(f"'{word}': names are not allowed; give a network such as 10.0.0.0/8")
    kind = ipaddress.IPv6Network if ":" in word else ipaddress.IPv4Network
    try:
        network: Network = kind(word, strict=False)
    except ValueError as error:
        raise ValueError(f"'{word}': {error}") from None
    address = ipaddress.ip_address(word.partition("/")[0])
    if address != network.network_address:
        raise ValueError(f"'{word}': host bits are set; the network is {network}")
    return _unmapped(network)


def _unmapped(network: Network) -> Network:
    """Return the IPv4 network that an IPv6 one stands for, if it does."""
    if not isinstance(network, ipaddress.IPv6Network) or not network.subnet_of(_MAPPED):
        return network
    number = int(network.network_address) & 0xFFFFFFFF
    return ipaddress.IPv4Network((number, network.prefixlen - _MAPPED.prefixlen))
