"""The Python packages that `python -m vm` imports; this module imports none of them."""

from __future__ import annotations

import importlib.util

# Module, and the package that has it. python-vagrant is for boxes only.
MODULES = {"yaml": "PyYAML", "psutil": "psutil", "pycdlib": "pycdlib", "hatchling": "hatchling"}


def missing() -> list[str]:
    """Return the packages that are not installed."""
    return [name for module, name in MODULES.items() if importlib.util.find_spec(module) is None]


def complaint(packages: list[str]) -> str:
    """Return what to print about missing packages."""
    return (
        f"vm: not installed for this Python: {', '.join(packages)}\n"
        f"    python -m pip install {' '.join(packages)}\n"
        "    pip 25.1 or newer: python -m pip install --group vm; `tox -e NAME` does it by itself"
    )
