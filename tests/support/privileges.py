"""Nodes for which the permissions of files count, also where the suite runs as root."""

from __future__ import annotations

import os
import shutil

import pytest

_COMMAND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")


def can_be_unprivileged() -> bool:
    """Return whether `unprivileged` has a way."""
    return os.geteuid() != 0 or shutil.which(_COMMAND[0]) is not None


def unprivileged() -> tuple[str, ...]:
    """Return the `wrapper` for such a node; skips where root keeps its privileges."""
    if not can_be_unprivileged():
        pytest.skip("root ignores permission bits, and setpriv is missing")
    return _COMMAND if os.geteuid() == 0 else ()
