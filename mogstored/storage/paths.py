"""Judge paths: what a request may name, and on which device it lies.

Paths are bytes without their leading slashes, ready for the *at() system calls. They come
from a request line or a sidechannel line whose grammar admits `A-Z a-z 0-9 / . -` only.
"""

from __future__ import annotations

import re

# With one leading slash, "/dev16777215/0/000/000/0123456789.fid" has 37 bytes: the longest
# name that a tracker makes for a file identifier of ten digits.
MAX_PATH = 37

_STORABLE = re.compile(rb"dev[0-9]+/+[^/](?:.*[^/])?", re.DOTALL)


def is_climbing(path: bytes) -> bool:
    """Say whether `path` contains two dots in a row, be it as a component or not."""
    return b".." in path


def is_storable(path: bytes) -> bool:
    """Say whether a file may be put at `path`: below a device, and not a directory."""
    return _STORABLE.fullmatch(path) is not None
