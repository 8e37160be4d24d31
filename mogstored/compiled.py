"""Say whether the hot modules were compiled (`hatch_build.py`) or run as they stand."""

from __future__ import annotations

from mogstored.storage import open_files


def is_compiled() -> bool:
    """Say whether this is a compiled build; its modules are compiled together or not at all."""
    return not (open_files.__file__ or "").endswith((".py", ".pyc"))
