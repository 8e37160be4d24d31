"""Which clients may connect to a listener: rules in their order, of which the first match counts.

A client's address is found among the rules by as many look-ups as there are lengths of prefixes,
not by one for each rule. Clients that none of them matches are allowed.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable

from mogstored.config.model import Config
from mogstored.config.values.networks import AccessRule
from mogstored.log.rate_limit import BurstLimiter, more

_log = logging.getLogger("mogstored")

ADMIN = "admin"

# An IPv4 address as a socket for IPv6 shows it.
_MAPPED = b"\0" * 10 + b"\xff\xff"

# A client that is refused may try again at once, and so do all behind the same address.
_lines = BurstLimiter(burst=10, interval_s=5.0)


class AccessList:
    """The rules for one listener. Immutable."""

    def __init__(self, rules: Iterable[AccessRule]) -> None:
        # By the size of an address in bytes. Shifting an address by the first number leaves the
        # prefix that the table has, with the place of the rule and what it says.
        self._tables: dict[int, list[tuple[int, dict[int, tuple[int, bool]]]]] = {4: [], 16: []}
        self._count = 0
        for rule in rules:
            self._add(rule)

    def __bool__(self) -> bool:
        """Say whether there is a rule."""
        return self._count > 0

    def allows(self, host: str) -> bool:
        """Say whether a client with this numeric address may connect."""
        if ":" in host:
            packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
            packed = packed.removeprefix(_MAPPED)
        else:
            packed = socket.inet_pton(socket.AF_INET, host)
        number = int.from_bytes(packed)
        first, verdict = self._count, True
        for shift, table in self._tables[len(packed)]:
            found = table.get(number >> shift)
            if found is not None and found[0] < first:
                first, verdict = found
        return verdict

    def _add(self, rule: AccessRule) -> None:
        prefixes: list[tuple[int, int, int]] = [(4, 32, 0), (16, 128, 0)]
        if rule.network is not None:
            bits: int = rule.network.max_prefixlen
            shift = bits - rule.network.prefixlen
            prefixes = [(bits // 8, shift, int(rule.network.network_address) >> shift)]
        for size, shift, prefix in prefixes:
            tables = dict(self._tables[size])
            table = tables.setdefault(shift, {})
            table.setdefault(prefix, (self._count, rule.allows))
            self._tables[size] = list(tables.items())
        self._count += 1


def access_list(rules: Iterable[AccessRule], kind: str) -> AccessList | None:
    """Return what `rules` say of listeners of this kind; None if nothing."""
    return AccessList(rule for rule in rules if rule.listener in ("", kind)) or None


def admin_rules(config: Config) -> tuple[AccessRule, ...]:
    """Return the rules for the admin listeners, which belong to no service: those of all."""
    rules = (rule for service in config.services for rule in service.access)
    return tuple(rule for rule in rules if rule.listener in ("", ADMIN))


class Gate:
    """Lets clients in at one listener, or not.

    **Threads:** `admits` is called by the listener's own; `access` is replaced by any.
    """

    def __init__(self, kind: str, access: AccessList | None = None) -> None:
        self.kind = kind
        self.access = access

    def admits(self, host: str) -> bool:
        """Say whether the client that has just connected from there may stay; else log it."""
        access = self.access
        if access is None:
            return True
        if access.allows(host):
            return True
        if (skipped := _lines.skipped()) is not None:
            _log.warning(
                "%s was refused at a listener for %s: deny%s",
                *(host, self.kind, more(skipped)),
                extra={"client": host},
            )
        return False
