"""What one source, the command line, the environment or a file, says about the node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from mogstored.config.diagnostics import Diagnostics
from mogstored.config.rows.setting import Setting
from mogstored.config.settings import BY_NAME, LISTENERS

T = TypeVar("T")

COMMAND_LINE = "command line"

# Wording that scripts and other suites match, down to the name of the node it comes from.
_PERLBAL = "W: using internal HTTP for 'server = perlbal'"
_NOT_UNDERSTOOD = "E: 'server = {}' not understood by cmogstored"
_SERVES_ITSELF = "mogstored serves HTTP itself; leave the setting out, or say none"


class Sourced(NamedTuple, Generic[T]):
    """A value, and how and where its source writes it, for messages."""

    value: T
    shown: str


@dataclass(slots=True)
class Source:
    """The values of one source, by the names of their settings.

    Those it says something wrong about are in `invalid`, so that the one mistake is not
    reported a second time as an omission.
    """

    name: str = COMMAND_LINE
    invalid: set[str] = field(default_factory=set)
    _values: dict[str, Sourced[Any]] = field(default_factory=dict)

    def get(self, name: str) -> Sourced[Any] | None:
        """Return what is said, if it is valid."""
        return self._values.get(BY_NAME[name].into or name)

    def set(self, setting: Setting, word: str, shown: str, diagnostics: Diagnostics) -> None:
        """Give `setting` what `word` means; a later one replaces an earlier one."""
        if setting.name == "server":
            self._set_server(word, shown, diagnostics)
        elif setting.name == "serverbin":
            diagnostics.warn(f"WARNING: {shown}: ignored, no other server is started")
        elif setting.is_kept:
            self._set_value(setting, word, shown, diagnostics)

    def fill(self, setting: Setting) -> None:
        """Give `setting` its default, as a word."""
        shown = f"{setting.name} = {setting.default} (the default)"
        self._values[setting.name] = Sourced(setting.parse(str(setting.default)), shown)

    def mark_invalid(self, names: Iterable[str]) -> None:
        """Note that what is said about these settings cannot be used."""
        for name in names:
            self.invalid.add(name)
            self._values.pop(name, None)

    def says(self, name: str) -> bool:
        """Say whether there is a value, be it a wrong one."""
        return name in self._values or name in self.invalid

    def listens(self) -> bool:
        """Say whether any listener is named, be it in a wrong way."""
        return any(map(self.says, LISTENERS))

    def _set_value(
        self, setting: Setting, word: str, shown: str, diagnostics: Diagnostics
    ) -> None:
        try:
            value = setting.parse(word)
        except ValueError as error:
            if setting.is_lenient:
                diagnostics.warn(f"WARNING: {shown}: {error}; ignored")
                return
            self.mark_invalid([setting.name])
            diagnostics.error(f"{shown}: {error}")
            return
        name = setting.into or setting.name
        said = self._values.get(name)
        if setting.is_list and said is not None:
            value, shown = said.value + value, f"{said.shown}, {shown}"
        self._values[name] = Sourced(value, shown)
        if not setting.is_list:
            self.invalid.discard(setting.name)

    def _set_server(self, word: str, shown: str, diagnostics: Diagnostics) -> None:
        """Keep whether HTTP is served."""
        if word == "perlbal":
            diagnostics.warn(f"{_PERLBAL} ({shown})")
        elif word != "none":
            diagnostics.error(f"{_NOT_UNDERSTOOD.format(word)} ({shown}): {_SERVES_ITSELF}")
        self._values["server"] = Sourced(word != "none", shown)
