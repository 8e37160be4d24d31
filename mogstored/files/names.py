"""Names of devices: the `devN` at the front of a path, and its number."""

from __future__ import annotations

import re
from functools import lru_cache

_NAME = re.compile(rb"dev(?:0|[1-9][0-9]{0,7})")
_NAME_WITH_ZEROS = re.compile(rb"dev[0-9]+")
# The tracker's devid is a MEDIUMINT UNSIGNED.
_MAX_DEVID = 16_777_215


def device_name(path: bytes) -> bytes:
    """Return the first component of `path`: the name of its device, if it lies on one.

    `./dev1/x` lies on dev1 as `dev1/x` does, and so does `dev1`.
    """
    name = path.partition(b"/")[0]
    if name and name != b".":
        return name
    return next(iter(_components(path)), b"")


# Needed for each change of a file.
@lru_cache(maxsize=1024)
def device_number(name: bytes) -> int | None:
    """Return N for `devN` without leading zeros; None if no device can have that name."""
    if _NAME.fullmatch(name) is None:
        return None
    devid = int(name[3:])
    return devid if devid <= _MAX_DEVID else None


def sole_device(path: bytes) -> bytes | None:
    """Return the device's name if `path`, however written, names the device itself.

    `dev7`, `./dev7` and `dev7//` do; `dev7/x` does not. Names with leading zeros count.
    """
    parts = _components(path)
    return parts[0] if len(parts) == 1 and _NAME_WITH_ZEROS.fullmatch(parts[0]) else None


def _components(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")]
