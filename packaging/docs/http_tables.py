"""The tables of docs/http.md: statuses, errors of disks, and what the wire tests send.

**Raises:** `ValueError` for statuses and errors that the code and http.toml do not both have.
"""

from __future__ import annotations

import errno
import inspect
import re
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mogstored.http import statuses as answers
from mogstored.http.message import response

ENTRIES = Path(__file__).with_name("http.toml")
REQUESTS = Path(__file__).resolve().parents[2] / "tests" / "mogstored" / "wire" / "requests"

_STATUS = re.compile(r'b"(?:HTTP/1\.1 )?(\d{3}) ([A-Z][A-Za-z ]+)')
# What a method does to the disk, and which answer an error of it gets. All others are 500.
_ATTEMPTS = {
    "GET, HEAD": answers.READ,
    "PUT: the file": answers.CREATE,
    "PUT: its body": answers.WRITE,
    "DELETE": answers.DELETE,
}
# Of two names for a number, the last one, which is the same on each system.
_NAMES = {getattr(errno, name): name for name in sorted(dir(errno)) if name.startswith("E")}


def statuses() -> Iterator[str]:
    """Yield which status means what."""
    words = dict(_STATUS.findall(inspect.getsource(response)))
    entries = _entries("status", words)
    yield "| status | methods | when |"
    yield "|---|---|---|"
    for status, entry in entries.items():
        yield f"| {status} {words[status]} | {entry['methods']} | {entry['when']} |"


def errors() -> Iterator[str]:
    """Yield how errors of system calls are answered, if not with 500."""
    yield f"| error | {' | '.join(_ATTEMPTS)} |"
    yield f"|---|{'---|' * len(_ATTEMPTS)}"
    names = {_NAMES[number]: number for table in _ATTEMPTS.values() for number in table}
    for name, about in _entries("errors", names).items():
        cells = " | ".join(str(table.get(names[name], "")) for table in _ATTEMPTS.values())
        yield f"| `{name}`: {about} | {cells} |"


def accepted() -> Iterator[str]:
    """Yield requests of known clients."""
    yield "| request | first line | answer |"
    yield "|---|---|---|"
    for path in _requests("valid"):
        line = path.read_bytes().partition(b"\r\n")[0].decode("latin-1")
        yield f"| {_title(path)} | `{line}` | {_status(path)} |"


def refused() -> Iterator[str]:
    """Yield requests that are answered once and end the connection."""
    yield "| request | answer |"
    yield "|---|---|"
    for path in _requests("invalid"):
        yield f"| {_title(path)} | {_status(path)} |"


def _entries(kind: str, known: Collection[str]) -> dict[str, Any]:
    entries: dict[str, Any] = tomllib.loads(ENTRIES.read_text())[kind]
    if differing := sorted({*known} ^ entries.keys()):
        raise ValueError(f"http.toml, {kind}, and the code differ in {', '.join(differing)}")
    return entries


def _requests(kind: str) -> list[Path]:
    return sorted((REQUESTS / kind).glob("*.http"))


def _title(path: Path) -> str:
    return path.stem.replace("-", " ")


def _status(path: Path) -> str:
    status_line = path.with_suffix(".answer").read_text(encoding="ascii").partition("\n")[0]
    return status_line.removeprefix("HTTP/1.1 ")
