"""Checksums: literal in machines.yml, or looked up in a published list.

Lists come in three formats: BSD's `SHA512 (FILE) = HEX`, GNU's `HEX  FILE`, and a release of
GitHub's API, whose assets have a `name` and a `digest`
(https://github.blog/changelog/2025-06-03-releases-now-expose-digests-for-release-assets/).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from vm.errors import VMError
from vm.images.download import fetch_text
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
    """Parse the `checksum` of machines.yml; a URL is fetched and searched for the file."""
    if not given.startswith("https://"):
        algorithm, _, digest = given.partition(":")
        return Checksum(algorithm, digest)
    return look_up(fetch_text(given), file_name, given)


def look_up(listing: str, file_name: str, origin: str) -> Checksum:
    """Find the file's line in a published list."""
    for line in _lines(listing):
        found = _BSD.fullmatch(line.strip()) or _GNU.fullmatch(line.strip())
        if found and found["name"].removeprefix("./") == file_name:
            algorithm = _BY_LENGTH.get(len(found["hex"]))
            if algorithm is not None:
                return Checksum(algorithm, found["hex"])
    raise VMError(
        f"{origin} has no checksum of {file_name}",
        "The release may have moved: compare `url` and `checksum` in vm/machines.yml "
        "with the publisher's site.",
    )


def _lines(listing: str) -> list[str]:
    """Return the lines of a list; a release of GitHub becomes GNU's format."""
    if not listing.lstrip().startswith("{"):
        return listing.splitlines()
    try:
        assets = json.loads(listing)["assets"]
        return [f"{str(one['digest']).partition(':')[2]}  {one['name']}" for one in assets]
    except (ValueError, KeyError, TypeError):
        return []


def verify(path: Path, wanted: Checksum, machine: str) -> None:
    """Raises: VMError when the file has another checksum."""
    progress = Progress(machine)
    state = hashlib.new(wanted.algorithm)
    done, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            state.update(piece)
            done += len(piece)
            progress.update(f"checking {path.name}: {done * 100 // size} %")
    if state.hexdigest() != wanted.digest:
        raise VMError(
            f"{path.name} has the wrong {wanted.algorithm}: "
            f"{state.hexdigest()}, expected {wanted.digest}",
            f"Nothing was started. If the file at {path} is the right one, correct `checksum` "
            "in vm/machines.yml; if the download is damaged, remove it and try again.",
        )
