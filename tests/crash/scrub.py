"""Files that rot: a scrub finds all of them, and reports no other.

The files are stored as a node does it, each with a checksum beside it. Then bits are flipped, ends
are cut off, and contents are swapped, and `mogstored scrub` reads everything. The same faults in
files without checksums must stay unseen, or the check finds something else than it says.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mogpoll.system.attributes import remove_attribute
from mogstored.files.docroot import Docroot
from tests.crash.table import Table
from tests.support.rot import plant

# Of a hundred files, one rots.
_SHARE = 100
_SIZES = (1, 2, 100, 1000, 4096, 5000, 20_000)
_RULES = ("md5", "sha256")


def prove(_levels: Sequence[str], count: int, seed: int) -> bool:
    """Plant `count` faults among a hundred times as many files; print a table."""
    table = Table(("files     ", "checksums", "planted", "found", "right", "false", "seconds"))
    verdicts = [
        _prove(table, count, seed, has_checksums=True),
        _prove(table, max(10, count // 100), seed, has_checksums=False),
    ]
    return all(verdicts)


def _prove(table: Table, count: int, seed: int, *, has_checksums: bool) -> bool:
    source = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="mogstored-scrub-") as directory:
        root = Path(directory)
        paths = store(root, count * _SHARE, source)
        if not has_checksums:
            for path in paths:
                with open(path, "rb") as file:
                    for rule in _RULES:
                        remove_attribute(file.fileno(), f"mogstored.{rule}")
        planted = {str(path) for path in plant(source.sample(paths, count), source)}
        began = time.monotonic()
        found = scrub(root)
        took_s = time.monotonic() - began
    right = len(planted & set(found))
    kept = "yes" if has_checksums else "no"
    table.add((len(paths), kept, count, len(found), right, len(found) - right, f"{took_s:.1f}"))
    return sorted(found) == sorted(planted) if has_checksums else not found


def store(root: Path, count: int, source: random.Random) -> list[Path]:
    """Store files as a node does, half of them with each kind of checksum; return them."""
    (root / "dev1").mkdir()
    docroots = [Docroot(str(root), checksums=rule) for rule in _RULES]
    names = []
    for fid in range(count):
        name = f"{fid:010d}"
        path = f"dev1/{name[0]}/{name[1:4]}/{name[4:7]}/{name}.fid"
        content = source.randbytes(source.choice(_SIZES))
        docroots[fid % len(docroots)].store(path.encode(), content)
        names.append(root / path)
    for docroot in docroots:
        docroot.close()
    return names


def scrub(root: Path) -> list[str]:
    """Return what the command reports."""
    done = subprocess.run(
        [sys.executable, "-m", "mogstored", "scrub", "--json", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    *findings, _summary = map(json.loads, done.stdout.splitlines())
    return [each["finding"]["path"] for each in findings]
