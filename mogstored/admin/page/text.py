"""Numbers as the page prints them; `text.js` has the same functions, digit for digit."""

from __future__ import annotations

from math import floor

UNKNOWN = "\u2013"
_NARROW_SPACE = "\u202f"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def count(number: int | None) -> str:
    """Return `1 234 567`."""
    return UNKNOWN if number is None else f"{number:,}".replace(",", _NARROW_SPACE)


def decimal(number: float) -> str:
    """Return one decimal below a hundred, else an integer; halves go up, as in JavaScript."""
    if number >= 100:
        return count(floor(number + 0.5))
    tenths = floor(number * 10 + 0.5)
    return f"{tenths // 10}.{tenths % 10}"


def size(number: float | None) -> str:
    """Return bytes in the largest binary unit that leaves at most three digits."""
    if number is None:
        return UNKNOWN
    power = 0
    while number >= 1000 and power < len(_UNITS) - 1:
        number /= 1024
        power += 1
    return f"{decimal(number) if power else count(floor(number + 0.5))}\u00a0{_UNITS[power]}"


def percent(ratio: float | None) -> str:
    """Return a ratio of one as `37 %`."""
    return UNKNOWN if ratio is None else f"{floor(ratio * 100 + 0.5)}\u00a0%"


def duration(seconds: float | None) -> str:
    """Return two units at most, such as `3 m 05 s`."""
    if seconds is None:
        return UNKNOWN
    if 0 < seconds < 0.95:
        return f"{decimal(seconds * 1000)}\u00a0ms"
    if 0 < seconds < 9.95:
        return f"{decimal(seconds)}\u00a0s"
    whole = floor(seconds + 0.5)
    for unit, length, lesser, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60)):
        if whole >= length:
            return f"{whole // length}\u00a0{unit}\u00a0{whole % length // part:02}\u00a0{lesser}"
    if whole >= 60:
        return f"{whole // 60}\u00a0m\u00a0{whole % 60:02}\u00a0s"
    return f"{whole}\u00a0s"


def steps(values: list[float | None], width: int, height: int) -> str:
    """Draw ratios as the path of an area of steps that ends at the right; None is a gap."""
    shown = values[-width:]
    x = width - len(shown)
    path = f"M{x} {height}"
    last = None
    for place, value in enumerate(shown):
        y = height - floor(min(max(value or 0.0, 0.0), 1.0) * height + 0.5)
        if y != last:
            path += f"{f'H{x}' if place else ''}V{y}"
            last = y
        x += 1
    return f"{path}H{width}V{height}Z" if shown else ""
