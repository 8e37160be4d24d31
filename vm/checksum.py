"""Checksums: written out in machines.yml, or looked up in the list that the publisher keeps.

Two kinds of lists are about: BSD's `SHA512 (FILE) = HEX`, and GNU's `HEX  FILE`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from vm.download import fetch_text
from vm.errors import VMError
from vm.progress import Progress

_BSD = re.compile(r"SHA(256|512) \((?P<name>[^)]+)\) = (?P<hex>[0-9a-f]+)")
_GNU = re.compile(r"(?P<hex>[0-9a-f]{64}|[0-9a-f]{128}) [ *](?P<name>\S+)")
_BY_LENGTH = {64: "sha256", 128: "sha512"}
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Checksum:
    algorithm: str
    digest: str


def resolve(given: str, file_name: str) -> Checksum:
    """Make a checksum of what machines.yml says, fetching the list if it names one."""
    if not given.startswith("https://"):
        algorithm, _, digest = given.partition(":")
        return Checksum(algorithm, digest)
    return look_up(fetch_text(given), file_name, given)


def look_up(listing: str, file_name: str, origin: str) -> Checksum:
    """Find the file's line in a published list."""
    for line in listing.splitlines():
        found = _BSD.fullmatch(line.strip()) or _GNU.fullmatch(line.strip())
        if found and found["name"].removeprefix("./") == file_name:
            algorithm = _BY_LENGTH.get(len(found["hex"]))
            if algorithm is not None:
                return Checksum(algorithm, found["hex"])
    raise VMError(
        f"{origin} has no checksum of {file_name}",
        "The release may have moved: compare `url` and `checksum` in vm/machines.yml "
        "with what its publisher has.",
    )


def verify(path: Path, wanted: Checksum, machine: str) -> None:
    """Raises: VMError when the file has another checksum."""
    progress = Progress(machine)
    state = hashlib.new(wanted.algorithm)
    done, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            state.update(piece)
            done += len(piece)
            progress.tell(f"checking {path.name}: {done * 100 // size} %")
    if state.hexdigest() != wanted.digest:
        raise VMError(
            f"{path.name} has the wrong {wanted.algorithm}: "
            f"{state.hexdigest()}, and {wanted.digest} was expected",
            f"Nothing was started. If the file at {path} is the one you want, correct `checksum` "
            "in vm/machines.yml; if it was damaged on its way, remove it and try again.",
        )
