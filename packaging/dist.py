"""Build both distributions for an index: sdist and wheel of mogpoll and of the node.

python packaging/dist.py DIRECTORY

Needs hatchling. What goes in is what git tracks, as it is in the work tree. The node for an index
has no mogpoll; it requires that distribution in its own version. Each wheel is built from its
sdist. Two builds by one hatchling and one zlib are the same bytes, dated SOURCE_DATE_EPOCH if that
is set.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOGPOLL = "packaging/mogpoll"
_MANUAL = "packaging/man/mogpoll.7"
# The first two are of the clone only, the others are mogpoll's.
_NOT_THE_NODES = (".ci/", ".github/", "mogpoll/", f"{MOGPOLL}/", "packaging/vendor/")
# What .gitignore names, and all that is hidden.
_UNTRACKED = re.compile(
    r"(.*/)?(\.|(dist|build|__pycache__|[^/]+\.egg-info)/)|(mogdata|site)/|probe\.json$"
)
_LIST = "dependencies = [\n"


def main() -> None:
    """Build into the directory that the command line names, and print the checksums."""
    into = Path(sys.argv[1]).absolute()
    into.mkdir(parents=True, exist_ok=True)
    for archive in build(into):
        print(hashlib.sha256(archive.read_bytes()).hexdigest(), archive.name, sep="  ")


def build(into: Path) -> list[Path]:
    """Build into a directory; return the archives: mogpoll's sdist and wheel, then the node's."""
    files = tracked()
    with tempfile.TemporaryDirectory() as scratch:
        mogpoll, node = Path(scratch, "mogpoll"), Path(scratch, "node")
        stage_mogpoll(files, mogpoll)
        stage_node(files, node)
        return [archive for tree in (mogpoll, node) for archive in _build(tree, into)]


def tracked() -> list[str]:
    """List the files of the tree; without a clone, all but hidden ones and what was built."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "-z"]
        listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [name for name in map(str, found) if not _UNTRACKED.match(name)]


def stage_mogpoll(files: Iterable[str], tree: Path) -> None:
    """Lay out the tree of mogpoll: sources and manual page beside the files of its folder."""
    for name in files:
        if name.startswith("mogpoll/"):
            _copy(name, tree / name)
        elif name.startswith(f"{MOGPOLL}/"):
            _copy(name, tree / name.removeprefix(f"{MOGPOLL}/"))
    _copy(_MANUAL, tree / Path(_MANUAL).name)
    project = tree / "pyproject.toml"
    text = project.read_text()
    project.write_text(text.replace('"../../mogpoll', '"mogpoll').replace('"../man/', '"'))


def stage_node(files: Iterable[str], tree: Path) -> None:
    """Lay out the tree of a node that requires mogpoll."""
    for name in files:
        if not name.startswith(_NOT_THE_NODES):
            _copy(name, tree / name)
    project = tree / "pyproject.toml"
    text = project.read_text()
    if text.count(_LIST) != 1:
        raise SystemExit(f"{project.name} has no one place for another dependency")
    project.write_text(text.replace(_LIST, f'{_LIST}    "mogpoll=={version("mogpoll")}",\n'))


def version(package: str) -> str:
    """Read the version of a package in the tree."""
    text = (ROOT / package / "__init__.py").read_text()
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(found)


def _copy(name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / name, target)


def _build(tree: Path, into: Path) -> list[Path]:
    sdist = _hatchling("sdist", tree, into)
    unpacked = tree.with_name(f"{tree.name}-unpacked")
    with tarfile.open(sdist) as archive:
        # Debian 12 has a Python without filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
        archive.extractall(unpacked)
    (top,) = unpacked.iterdir()
    return [sdist, _hatchling("wheel", top, into)]


def _hatchling(kind: str, tree: Path, into: Path) -> Path:
    code = f"import sys, hatchling.build as build; print(build.build_{kind}(sys.argv[1]))"
    command = [sys.executable, "-P", "-c", code, str(into)]
    done = subprocess.run(command, cwd=tree, check=True, stdout=subprocess.PIPE, text=True)
    return into / done.stdout.strip()


if __name__ == "__main__":
    main()
