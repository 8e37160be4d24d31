"""mogpoll and the node as an index gets them, and beside a node that a clone built."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mogpoll
import mogstored
from tests.project._tree import ROOT, modules_of
from tests.project.test_packaging import build

if TYPE_CHECKING:
    from collections.abc import Mapping

MOGPOLL = ROOT / "packaging" / "mogpoll"
VERSION = mogstored.__version__
ARCHIVES = [
    *(f"mogpoll-{VERSION}.tar.gz", f"mogpoll-{VERSION}-py3-none-any.whl"),
    *(f"mogstored-{VERSION}.tar.gz", f"mogstored-{VERSION}-py3-none-any.whl"),
]

# What is installed, who owns what, and which mogpoll the node and others import.
_LOOK = """
import json, os, sys
from collections import Counter
from importlib import metadata

def place(path):
    return os.path.relpath(os.path.dirname(path), sys.prefix).partition("site-packages/")[2]

import mogpoll
others = place(mogpoll.__file__)
for name in [name for name in sys.modules if name.partition(".")[0] == "mogpoll"]:
    del sys.modules[name]
nodes = None
try:
    import mogstored
    import mogpoll
    nodes = place(mogpoll.__file__)
except ModuleNotFoundError:
    pass
installed = [found for found in metadata.distributions() if "site-packages" in str(found._path)]
files = Counter(str(found.locate_file(file)) for found in installed for file in found.files)
json.dump({
    "others": others,
    "nodes": nodes,
    "names": sorted(found.name for found in installed),
    "shared": [file for file, owners in files.items() if owners > 1],
    "missing": [file for file in files if not os.path.exists(file)],
}, sys.stdout)
"""


def built(into: Path, **environment: str) -> dict[str, bytes]:
    """Build both distributions; return the archives' bytes by their names, in order."""
    command = [sys.executable, "-P", f"{ROOT}/packaging/dist.py", str(into)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    names = [line.split()[1] for line in done.stdout.splitlines()]
    return {name: (into / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("dist")
    assert list(built(into)) == ARCHIVES
    return into


@pytest.fixture(scope="module")
def carrying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of the node that a clone builds."""
    return build("wheel", tmp_path_factory.mktemp("clone"))


def wheel(dist: Path, name: str) -> Path:
    return dist / f"{name}-{VERSION}-py3-none-any.whl"


def names_in(archive: Path) -> set[str]:
    if archive.suffix == ".whl":
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as opened:
        return {name.partition("/")[2] for name in opened.getnames()}


def requirements(archive: Path, name: str) -> list[str]:
    text = zipfile.ZipFile(archive).read(f"{name}-{VERSION}.dist-info/METADATA").decode()
    return Parser().parsestr(text).get_all("Requires-Dist", [])


def tracked(root: Path) -> list[str]:
    """Return what the script of a tree takes for its files."""
    code = "import dist; print(*dist.tracked(), sep='\\n')"
    environment = {**os.environ, "PYTHONPATH": str(root / "packaging")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()


# What is built.


def test_versions_are_in_step() -> None:
    assert mogpoll.__version__ == mogstored.__version__


def test_mogpoll_is_whole_and_needs_nothing(dist: Path) -> None:
    archive = wheel(dist, "mogpoll")
    names = names_in(archive)
    info, data = f"mogpoll-{VERSION}.dist-info", f"mogpoll-{VERSION}.data/data"
    assert {name.partition("/")[0] for name in names} == {"mogpoll", info, data.split("/")[0]}
    assert {path.as_posix() for path in modules_of("mogpoll")} <= names
    assert {"mogpoll/py.typed", f"{info}/licenses/LICENSE"} <= names
    assert {name for name in names if ".data/" in name} == {f"{data}/share/man/man7/mogpoll.7"}
    assert requirements(archive, "mogpoll") == []


def test_node_of_an_index_requires_its_mogpoll_and_has_none_of_it(dist: Path) -> None:
    archive = wheel(dist, "mogstored")
    assert f"mogpoll=={VERSION}" in requirements(archive, "mogstored")
    assert [name for name in names_in(archive) if "mogpoll" in name] == []
    sources = names_in(dist / f"mogstored-{VERSION}.tar.gz")
    ours = ("mogpoll/", "packaging/mogpoll", "packaging/vendor")
    assert [name for name in sources if name.startswith(ours)] == []
    assert {"mogstored/cli.py", "packaging/man/mogstored.1", "tests/conftest.py"} <= sources


def test_node_of_a_clone_requires_no_mogpoll(carrying: Path) -> None:
    assert [line for line in requirements(carrying, "mogstored") if "mogpoll" in line] == []


def test_sdist_of_mogpoll_is_whole(dist: Path) -> None:
    with tarfile.open(dist / f"mogpoll-{VERSION}.tar.gz") as archive:
        assert [member.name for member in archive if not member.isreg()] == []
    assert {path.as_posix() for path in modules_of("mogpoll")} <= names_in(Path(str(archive.name)))


def test_tree_has_no_symbolic_links() -> None:
    """Archives and checkouts of some systems turn them into files with the name of the target."""
    names = tracked(ROOT)
    assert "packaging/dist.py" in names
    assert [name for name in names if (ROOT / name).is_symlink()] == []


def test_what_was_built_goes_into_no_archive_without_a_clone(tmp_path: Path) -> None:
    kept = ["mogpoll/build.py", "packaging/site/hook.py", "vm/results/a/probe.json"]
    ignored = ROOT / ".gitignore"
    if not ignored.exists():
        pytest.skip("an sdist of a tree without .gitignore")
    lines = [line for line in ignored.read_text().splitlines() if line[:1] not in ("", "#")]
    patterns = [line.lstrip("/").replace("*", "a") for line in lines]
    made = [f"{each}file" if each.endswith("/") else each for each in patterns]
    for name in kept + made:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "packaging" / "dist.py").write_bytes((ROOT / "packaging" / "dist.py").read_bytes())
    assert sorted(tracked(tmp_path)) == sorted([*kept, "packaging/dist.py"])


def test_mogpoll_can_be_built_in_its_folder(dist: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=MOGPOLL, check=True, capture_output=True)
    (archive,) = tmp_path.iterdir()
    assert names_in(archive) == names_in(wheel(dist, "mogpoll"))


def test_mogpoll_alone_is_not_editable(tmp_path: Path) -> None:
    """It would be a copy."""
    code = "import sys, hatchling.build as build; build.build_editable(sys.argv[1])"
    command = [sys.executable, "-P", "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=MOGPOLL, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "pip install -e . at the top" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_builds_are_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        again = built(tmp_path, PYTHONHASHSEED="1", TZ="Asia/Tokyo", LC_ALL="C")
    finally:
        os.umask(before)
    assert [name for name in ARCHIVES if again[name] != (dist / name).read_bytes()] == []


@pytest.mark.slow
def test_archives_are_dated_as_the_environment_says(tmp_path: Path) -> None:
    built(tmp_path, SOURCE_DATE_EPOCH="1700000000")
    for name in ("mogpoll", "mogstored"):
        with tarfile.open(tmp_path / f"{name}-{VERSION}.tar.gz") as archive:
            assert {member.mtime for member in archive} == {1700000000}
        entries = zipfile.ZipFile(wheel(tmp_path, name)).infolist()
        assert {entry.date_time for entry in entries} == {(2023, 11, 14, 22, 13, 20)}


def test_licence_is_that_of_the_repository() -> None:
    assert (MOGPOLL / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_readme_of_mogpoll_shows_the_example_that_is_tested() -> None:
    """If not: copy examples/echo.py into packaging/mogpoll/README.md."""
    shown = re.findall(r"^```python\n(.*?)^```", (MOGPOLL / "README.md").read_text(), re.M | re.S)
    assert shown == [(ROOT / "examples" / "echo.py").read_text()]


# What is installed.


class Environment:
    """An empty virtual environment; the pip of the tests installs into it, from files only."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        self._python = folder / "bin" / "python"

    def pip(self, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        command += ["--python", str(self._python), *map(str, arguments)]
        done = subprocess.run(command, env=self._clean(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self, *archives: Path) -> None:
        # The node's other requirements are of no interest here.
        options = ("--no-index", "--no-deps", "--no-compile", "--force-reinstall")
        self.pip("install", *options, "--root-user-action=ignore", *archives)

    def look(self) -> dict[str, Any]:
        command = [str(self._python), "-P", "-c", _LOOK]
        shown = subprocess.run(command, env=self._clean(), check=True, capture_output=True)
        found: dict[str, Any] = json.loads(shown.stdout)
        return found

    @staticmethod
    def _clean() -> Mapping[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return {**kept, "PIP_CONFIG_FILE": os.devnull}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    pytest.importorskip("pip")
    return Environment(tmp_path / "environment")


OWN, CARRIED = "mogpoll", "mogstored/vendor/mogpoll"
BOTH = ["mogpoll", "mogstored"]


def expected(names: list[str], others: str, nodes: str | None) -> dict[str, Any]:
    return {"names": names, "others": others, "nodes": nodes, "shared": [], "missing": []}


@pytest.mark.slow
def test_published_node_over_one_that_carries_its_mogpoll(
    environment: Environment, dist: Path, carrying: Path
) -> None:
    environment.install(carrying)
    assert environment.look() == expected(["mogstored"], CARRIED, CARRIED)
    environment.install(wheel(dist, "mogpoll"), wheel(dist, "mogstored"))
    assert environment.look() == expected(BOTH, OWN, OWN)


@pytest.mark.slow
def test_node_that_carries_its_mogpoll_over_a_published_one(
    environment: Environment, dist: Path, carrying: Path
) -> None:
    environment.install(wheel(dist, "mogpoll"), wheel(dist, "mogstored"))
    assert environment.look() == expected(BOTH, OWN, OWN)
    environment.install(carrying)
    assert environment.look() == expected(BOTH, OWN, CARRIED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ("mogpoll", expected(["mogstored"], CARRIED, CARRIED)),
        ("mogstored", expected(["mogpoll"], OWN, None)),
    ],
)
def test_one_that_is_removed_leaves_the_other_whole(
    gone: str, left: dict[str, Any], environment: Environment, dist: Path, carrying: Path
) -> None:
    environment.install(wheel(dist, "mogpoll"), carrying)
    assert environment.look() == expected(BOTH, OWN, CARRIED)
    environment.pip("uninstall", "--yes", "--root-user-action=ignore", gone)
    assert environment.look() == left
