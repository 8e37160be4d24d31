"""SIGHUP: read the configuration again, and find out what a running node can take of it.

Settings say of themselves whether they are reloadable (`mogstored.config.settings`). The
configuration that applies is the one of the start with new values of those, so all others stay
what the node runs with until an upgrade. A configuration with errors changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from mogstored.config.diagnostics import Diagnostics
from mogstored.config.model import Config, ServiceConfig
from mogstored.config.report import show
from mogstored.config.rows.setting import Scope
from mogstored.config.settings import kept
from mogstored.log.handlers import LEVELS, set_level

_log = logging.getLogger("mogstored")

Values = TypeVar("Values", Config, ServiceConfig)

Read = Callable[[], tuple[Config, Diagnostics]]
"""Reads options, files and environment as the start did."""


@dataclass(frozen=True, slots=True)
class Reloadable:
    """What a new configuration means to a running node; each list has lines of a config file."""

    config: Config
    """What applies from now on."""
    taken: tuple[str, ...]
    unchanged: tuple[str, ...]
    """The names of reloadable settings."""
    refused: tuple[str, ...]
    """What an upgrade would change."""


class Reloader:
    """The configuration of this node as it applies, and a way to read it again.

    **Threads:** the main one.
    """

    def __init__(self, config: Config, read: Read, *, is_strict: bool) -> None:
        self.config = config
        self._read = read
        self._is_strict = is_strict

    def reload(self, apply: Callable[[Config], object]) -> None:
        """Apply what changes, and log what became of it; sets the level of the log.

        `apply` is called with what applies from now on, also if that is what applied before.
        """
        before = self.config
        new, diagnostics = self._read()
        is_fatal = diagnostics.are_fatal(is_strict=self._is_strict)
        for line in diagnostics.lines():
            if is_fatal:
                _log.error("HUP: %s", line)
            else:
                _log.warning("HUP: %s", line)
        if is_fatal:
            apply(before)
            _log.error("HUP: the configuration has faults: nothing of it was applied")
            return
        found = compare(before, new)
        self.config = found.config
        apply(found.config)
        # The lines appear if the level before or the new one asks for them.
        set_level(min(before.log_level, self.config.log_level, key=LEVELS.__getitem__))
        if found.taken:
            _log.info("HUP: applied: %s", ", ".join(found.taken))
        if found.refused:
            _log.warning("HUP: not applied before an upgrade (USR2): %s", ", ".join(found.refused))
        if found.unchanged:
            _log.info("HUP: unchanged: %s", ", ".join(found.unchanged))
        set_level(self.config.log_level)


def compare(now: Config, new: Config) -> Reloadable:
    """Find out what `new` changes in a node that runs with `now`."""
    changes = _Changes()
    by_docroot = {service.docroot: service for service in new.services}
    # In the order of the node, which is that of its listeners.
    services = tuple(
        changes.apply(
            Scope.SERVICE,
            service,
            by_docroot.pop(service.docroot, service),
            f" ({service.docroot})" if len(now.services) > 1 else "",
        )
        for service in now.services
    )
    for docroot in by_docroot:
        changes.refused.append(f"docroot = {docroot}")
    gone = {service.docroot for service in now.services} - {s.docroot for s in new.services}
    changes.refused += [f"no docroot = {docroot}" for docroot in sorted(gone)]
    node = changes.apply(Scope.NODE, now, new)
    return Reloadable(
        replace(node, services=services),
        tuple(changes.taken),
        tuple(dict.fromkeys(changes.unchanged)),
        tuple(changes.refused),
    )


class _Changes:
    """What was found so far."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.unchanged: list[str] = []
        self.refused: list[str] = []

    def apply(self, scope: Scope, now: Values, new: Values, where: str = "") -> Values:
        """Return the values of `now`, with those of `new` for what is reloadable."""
        fields = {}
        for setting in kept(scope):
            before, after = getattr(now, setting.field), getattr(new, setting.field)
            if before == after:
                if setting.is_reloadable:
                    self.unchanged.append(setting.name)
                continue
            line = f"{show(setting, after)}{where}"
            if setting.is_reloadable:
                fields[setting.field] = after
                self.taken.append(line)
            else:
                self.refused.append(line)
        return replace(now, **fields)
