"""The checkout as the project tests see it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def modules_of(package: str) -> list[Path]:
    """List the package's source files, as paths from the checkout's root."""
    found = sorted(path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py"))
    assert found, f"no module below {ROOT / package}"
    return found
