"""Lay out the documents of the packages, with links to what the packages have.

python documents.py DIRECTORY

A link to another file of the repository becomes its text.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SUFFIXES = {".md", ".svg", ".png"}
_LINK = re.compile(r"(!?)\[([^][]*)\]\(([^)\s]+)\)")


def main() -> None:
    """Write the documents of both packages, each into a folder of its name."""
    into = Path(sys.argv[1])
    copy(["README.md", "CHANGELOG.md", *documents()], TOP, into / "mogstored")
    copy(["README.md"], TOP / "packaging" / "mogpoll", into / "python3-mogpoll")


def documents() -> list[str]:
    """Name the files of docs/."""
    found = (path for path in (TOP / "docs").rglob("*") if path.suffix in SUFFIXES)
    return sorted(str(path.relative_to(TOP)) for path in found)


def copy(names: list[str], source: Path, into: Path) -> None:
    """Copy documents, and keep those links that lead to one of them."""
    for name in names:
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".md"):
            target.write_text(relinked((source / name).read_text(), name, set(names)))
        else:
            shutil.copy(source / name, target)


def relinked(text: str, name: str, names: set[str]) -> str:
    """Return the text of the document `name`; `names` are those that it may link to."""

    def kept(link: re.Match[str]) -> str:
        path = link[3].partition("#")[0]
        there = os.path.normpath(os.path.join(os.path.dirname(name), path))
        return link[0] if ":" in path or not path or there in names else link[2]

    return _LINK.sub(kept, text)


if __name__ == "__main__":
    main()
