"""What `--check-config` prints: the configuration, in the notation of config files."""

from __future__ import annotations

from collections.abc import Iterator

from mogstored.config.model import Config, ServiceConfig
from mogstored.config.rows.setting import Scope, Setting
from mogstored.config.settings import kept
from mogstored.config.values.addresses import Address
from mogstored.config.values.processes import ProcessCount
from mogstored.log.printable import printable


def describe(config: Config) -> str:
    """Return the merged configuration.

    The text for a single service is itself a config file that says the same, but for names that
    have to be escaped.
    """
    return "".join(f"{_shown(line)}\n" for line in _lines(config))


def _shown(line: str) -> str:
    shown = printable(line)
    return shown if shown == line else f"{shown}  # escaped, not the name itself"


def _lines(config: Config) -> Iterator[str]:
    yield from _values(Scope.NODE, config)
    for service in config.services:
        yield ""
        yield f"# from {service.source}"
        yield from _values(Scope.SERVICE, service)


def _values(scope: Scope, values: Config | ServiceConfig) -> Iterator[str]:
    for setting in kept(scope):
        value = getattr(values, setting.field)
        if setting.into:
            yield from (rule.line for rule in value)
        elif isinstance(value, ProcessCount) and value.is_auto:
            yield f"{show(setting, value)}  # {value.number} here"
        elif value is not None and value != ():
            yield show(setting, value)


def show(setting: Setting, value: object) -> str:
    """Return what a config file says to give the setting this value, in one line."""
    if isinstance(value, tuple) and value and setting.into:
        return ", ".join(rule.line for rule in value)
    is_set = value is not None and value != ()
    return f"{setting.name} = {_word(value)}" if is_set else f"no {setting.name}"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Address):
        return value.typed
    return ",".join(map(_word, value)) if isinstance(value, tuple) else str(value)
