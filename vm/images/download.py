"""Downloads over https: with progress, a check of the free space, and no partial files."""

from __future__ import annotations

import http.client
import lzma
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vm.errors import VMError
from vm.paths import require_space
from vm.progress import Progress

_TIMEOUT_S = 60.0
_PIECE = 1 << 20
_LIST_LIMIT = 1 << 20
_FAILURES = (OSError, EOFError, lzma.LZMAError, http.client.HTTPException)


def fetch_text(url: str) -> str:
    """Fetch a text of at most 1 MiB."""
    with _as_vm_error(url), urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        text: bytes = answer.read(_LIST_LIMIT)
    return text.decode("utf-8", "replace")


def fetch(url: str, into: Path, machine: str) -> None:
    """Fetch a file; it gets its name when it is complete."""
    with (
        _as_vm_error(url),
        _part_of(into) as part,
        urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer,
    ):
        size = int(answer.headers.get("Content-Length") or 0)
        require_space(into.parent, size, into.name)
        _write_pieces(lambda: answer.read(_PIECE), part, size, f"fetching {into.name}", machine)


def unpack(packed: Path, into: Path, machine: str) -> None:
    """Unpack a .xz file."""
    what = f"unpacking {packed.name}"
    with (
        _as_vm_error(str(packed)),
        _part_of(into) as part,
        lzma.open(packed) as file,
    ):
        _write_pieces(lambda: file.read(_PIECE), part, 0, what, machine)


@contextmanager
def _as_vm_error(origin: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise VMError(
            f"{origin}: {error}",
            "Check the network and the free space. A file that is here already can be named in "
            "`image: path` of vm/machines.yml.",
        ) from error


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """Yield a file to write to; it is renamed to `path` on success, removed on failure."""
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_pieces(
    read: Callable[[], bytes], part: Path, size: int, what: str, machine: str
) -> None:
    progress = Progress(machine)
    done = 0
    with part.open("wb") as file:
        while piece := read():
            file.write(piece)
            done += len(piece)
            share = f" of {size >> 20}" if size else ""
            progress.update(f"{what}: {done >> 20}{share} MiB")
    if size and done != size:
        raise EOFError(f"ended after {done} of {size} bytes")
    progress.end(f"{what}: {done >> 20} MiB")
