"""Files with checksums beside them, and what rots of them."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from mogstored.files.checksums import at_rest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from random import Random


def store(path: Path, content: bytes, *algorithms: str) -> Path:
    """Write a file, with the checksums that are named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
        for algorithm in algorithms:
            at_rest.write(file.fileno(), algorithm, hashlib.new(algorithm, content).digest())
    return path


def store_many(root: Path, count: int, source: Random, algorithms: Sequence[str]) -> list[Path]:
    """Write `count` files of up to 20 KB, as a tracker names them, the algorithms by turns."""
    paths = []
    for fid in range(count):
        name = f"{fid:010d}"
        path = root / name[0] / name[1:4] / name[4:7] / f"{name}.fid"
        content = source.randbytes(source.choice([1, 2, 100, 4096, 5000, 20_000]))
        paths.append(store(path, content, algorithms[fid % len(algorithms)]))
    return paths


def flip(path: Path, source: Random) -> None:
    """Flip one bit."""
    with open(path, "r+b") as file:
        at = source.randrange(os.fstat(file.fileno()).st_size)
        file.seek(at)
        (value,) = file.read(1)
        file.seek(at)
        file.write(bytes([value ^ 1 << source.randrange(8)]))


def cut(path: Path, source: Random) -> None:
    """Cut off a part of the end."""
    os.truncate(path, source.randrange(path.stat().st_size))


def swap(one: Path, other: Path) -> None:
    """Swap the contents of two files that differ; their checksums stay."""
    contents = one.read_bytes(), other.read_bytes()
    assert contents[0] != contents[1]
    for path, content in zip((other, one), contents, strict=True):
        with open(path, "r+b") as file:
            file.write(content)
            file.truncate()


def plant(paths: Iterable[Path], source: Random) -> set[Path]:
    """Let all of these files rot, in each way; return them."""
    rotten = list(paths)
    source.shuffle(rotten)
    third = len(rotten) // 3
    for path in rotten[:third]:
        flip(path, source)
    for path in rotten[third : 2 * third]:
        cut(path, source)
    rest = rotten[2 * third :]
    for path in rest[: len(rest) % 2]:
        flip(path, source)
    pairs = iter(rest[len(rest) % 2 :])
    for one, other in zip(pairs, pairs, strict=True):
        swap(one, other)
    return set(rotten)
