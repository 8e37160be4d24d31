"""Judge paths: what a request may name.

Paths are bytes without their leading slashes, ready for the *at() system calls. They come
from a request line or a sidechannel line whose grammar admits `A-Z a-z 0-9 / . -` only.
"""

from __future__ import annotations

import re

# With one leading slash, "/dev16777215/0/000/000/0123456789.fid" has 37 bytes: the longest
# name that a tracker makes for a file identifier of ten digits.
MAX_PATH = 37

STATE_DIRECTORY = b".mogstored"
_OWN = re.compile(rb"(?:\./+)*\.mogstored(?:/|\Z)", re.IGNORECASE)

_BELOW_DEVICE = re.compile(rb"dev[0-9]+/+[^/]")


# By `find`: in CPython, `in` takes the dots for a number first, and raises and catches an error.
# Source: _Py_bytes_contains in Objects/bytes_methods.c.
def is_climbing(path: bytes) -> bool:
    """Say whether `path` contains two dots in a row, as a component or not."""
    return path.find(b"..") >= 0


def is_storable(path: bytes) -> bool:
    """Say whether a file may be put at `path`: below a device, no directory, not climbing."""
    begins = _BELOW_DEVICE.match(path) is not None
    return begins and path[-1:] != b"/" and path.find(b"..") < 0


def is_own(path: bytes) -> bool:
    """Say whether `path` is the node's own state, which is not there for clients."""
    return _OWN.match(path) is not None
