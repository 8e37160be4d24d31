"""Whether a directory's file system keeps extended attributes."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from mogpoll.system.attributes import get_attribute, set_attribute

if TYPE_CHECKING:
    from pathlib import Path


def takes_attributes(directory: Path) -> bool:
    """Say whether a file there can have one."""
    with tempfile.TemporaryFile(dir=directory) as file:
        try:
            set_attribute(file.fileno(), "mogstored.probe", b"")
            return get_attribute(file.fileno(), "mogstored.probe") == b""
        except OSError:
            return False


def attribute(path: Path, name: str) -> bytes | None:
    """Return an attribute of a file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return get_attribute(fd, name)
    finally:
        os.close(fd)
