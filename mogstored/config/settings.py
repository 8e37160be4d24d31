"""What one source, the command line or a file, says about the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from mogstored.config import values
from mogstored.config.findings import Findings
from mogstored.listeners import Address, parse_address

T = TypeVar("T")

LISTENERS = ("httplisten", "httpgetlisten", "mgmtlisten")
COMMAND_LINE = "command line"

# Wording that scripts and other suites match, down to the name of the node it comes from.
_PERLBAL = "W: using internal HTTP for 'server = perlbal'"
_NOT_UNDERSTOOD = "E: 'server = {}' not understood by cmogstored"


class Given(NamedTuple, Generic[T]):
    """A value, and how and where its source writes it, for messages."""

    value: T
    shown: str


@dataclass(slots=True)
class Settings:
    """The settings of one source; None where it says nothing valid.

    Those it says something wrong about are in `spoiled`, so that the one mistake is not
    reported a second time as an omission.
    """

    source: str = COMMAND_LINE
    docroot: Given[str] | None = None
    httplisten: Given[Address] | None = None
    httpgetlisten: Given[Address] | None = None
    mgmtlisten: Given[Address] | None = None
    pidfile: Given[str] | None = None
    maxconns: Given[int] | None = None
    daemonize: Given[bool] | None = None
    iostat: Given[bool] | None = None
    require_mount: Given[bool] | None = None
    stop_timeout: Given[int] | None = None
    serves_http: Given[bool] | None = None
    spoiled: set[str] = field(default_factory=set)

    def take(self, key: str, word: str, shown: str, findings: Findings) -> None:
        """Set `key` to what `word` means; a later one replaces an earlier one."""
        if key == "server":
            self._take_server(word, shown, findings)
        elif key == "serverbin":
            findings.warn(f"WARNING: {shown}: ignored, no other server is started")
        elif key != "skipconfig":
            self._take_value(key, word, shown, findings)

    def listens(self) -> bool:
        """Say whether any listener is named, be it in a wrong way."""
        return any(getattr(self, key) or key in self.spoiled for key in LISTENERS)

    def _take_value(self, key: str, word: str, shown: str, findings: Findings) -> None:
        try:
            value = _PARSERS[key](word)
        except ValueError as error:
            if key in TOLERANT:
                findings.warn(f"WARNING: {shown}: {error}; ignored")
                return
            self.spoil(key)
            findings.error(f"{shown}: {error}")
            return
        setattr(self, key, Given(value, shown))
        self.spoiled.discard(key)

    def _take_server(self, word: str, shown: str, findings: Findings) -> None:
        if word == "perlbal":
            findings.warn(f"{_PERLBAL} ({shown})")
        elif word != "none":
            findings.error(f"{_NOT_UNDERSTOOD.format(word)} ({shown})")
        self.serves_http = Given(word != "none", shown)

    def spoil(self, *keys: str) -> None:
        """Note that what is said about `keys` cannot be used."""
        self.spoiled.update(keys)
        for key in VALUE_KEYS.intersection(keys):
            setattr(self, key, None)


_PARSERS: dict[str, Callable[[str], object]] = {
    "docroot": values.parse_path,
    "httplisten": parse_address,
    "httpgetlisten": parse_address,
    "mgmtlisten": parse_address,
    "pidfile": values.parse_path,
    "maxconns": values.parse_maxconns,
    "daemonize": values.parse_switch,
    "iostat": values.parse_switch,
    "require_mount": values.parse_switch,
    "stop_timeout": values.parse_interval,
}
VALUE_KEYS = frozenset(_PARSERS)
KEYS = frozenset({*VALUE_KEYS, "server", "serverbin", "skipconfig"})
# Existing files say anything about these, since it never mattered.
TOLERANT = frozenset({"iostat", "skipconfig"})
# These may stand alone in a line of a file.
SWITCHES = frozenset({"daemonize", "iostat", "require_mount", "skipconfig"})
