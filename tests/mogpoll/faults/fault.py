"""A fault: a piece of source and its replacement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A piece of a module's source, its replacement, and the tests that must fail with it."""

    name: str
    module: str
    old: str
    new: str
    tests: str = "tests/mogpoll/conformance"
