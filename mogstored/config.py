"""The settings of a node."""

from __future__ import annotations

from dataclasses import dataclass

from mogstored.listeners import Address

DEFAULT_DOCROOT = "/var/mogdata"
DEFAULT_MAXCONNS = 10_000


@dataclass(frozen=True, slots=True)
class Config:
    """What a node is told by its operator; None where nothing was said."""

    docroot: str = DEFAULT_DOCROOT
    httplisten: Address | None = None
    httpgetlisten: Address | None = None
    mgmtlisten: Address | None = None
    maxconns: int = DEFAULT_MAXCONNS
    aio_threads: int | None = None
