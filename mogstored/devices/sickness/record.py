"""The standings of a docroot's devices in its state, where all processes of the node see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from mogstored.devices.sickness.standing import WELL, Entry, decode
from mogstored.files.state_dir import Stamp, State, StateDir

_NAME = "devices"
_DEVICES = "devices"


class StandingRecord:
    """**Threads:** any, of any process; each call may take as long as the docroot's disk does."""

    def __init__(self, state_dir: StateDir) -> None:
        self._state_dir = state_dir

    def stamp(self) -> Stamp | None:
        """Return what differs when something was changed; None while there is no record."""
        return self._state_dir.stamp(_NAME)

    def read(self) -> dict[str, Entry] | None:
        """Return the entries by the names of devices; None if there are none to be read."""
        state = self._state_dir.read(_NAME)
        return None if state is None else _entries(state)

    def change(self, changes: Mapping[str, Callable[[Entry], Entry]]) -> bool:
        """Change the entries of devices; False if they are only in memory."""
        return self._state_dir.update(_NAME, partial(_changed, changes))


def _entries(state: State) -> dict[str, Entry]:
    found = state.get(_DEVICES)
    if not isinstance(found, dict):
        return {}
    return {str(name): decode(entry) for name, entry in found.items()}


def _changed(changes: Mapping[str, Callable[[Entry], Entry]], state: State) -> State:
    entries = _entries(state)
    for name, change in changes.items():
        entries[name] = change(entries.get(name, WELL))
    return {_DEVICES: {name: entries[name].encode() for name in sorted(entries)}}
