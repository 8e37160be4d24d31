"""Files of a kernel that is not this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mogpoll.system.limits import cgroups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

    import pytest


def pretend(
    files: Mapping[str, str], modules: Iterable[ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let `modules` find these files, by their paths, and no others."""

    def read(path: str) -> str:
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    for module in (cgroups, *modules):
        monkeypatch.setattr(module, "read", read)
