"""The Debian packages name their dependencies and files; building them takes tools and time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mogstored
from tests.project._tree import ROOT
from tests.support.required import needs

PACKAGING = ROOT / "packaging" / "debian"
DEBIAN = PACKAGING / "debian"
SCRIPTS = [
    *(PACKAGING / name for name in ("autopkgtest", "check", "httptools", "needed")),
    *(DEBIAN / name for name in ("mogstored.postinst", "mogstored.postrm")),
    *(DEBIAN / "tests" / name for name in ("node", "service")),
]


def dependencies() -> dict[str, str]:
    """Return the libraries that the node needs, each with its lowest version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return dict(requirement.split(">=") for requirement in project["dependencies"])


def depends() -> str:
    return field("mogstored", "Depends") + (DEBIAN / "rules").read_text()


def field(package: str, name: str) -> str:
    """Return the value of a field of a binary package, its lines joined."""
    paragraphs = (DEBIAN / "control").read_text().split("\n\n")
    (text,) = (text for text in paragraphs if f"Package: {package}\n" in text)
    (value,) = re.findall(rf"^{name}: (.*(?:\n .*)*)", text, re.MULTILINE)
    return " ".join(str(value).split())


# Named after the module.
DEBIAN_NAMES = {"python-json-logger": "pythonjsonlogger"}


@pytest.mark.parametrize("name", sorted(dependencies()))
def test_package_depends_on_what_the_node_needs(name: str) -> None:
    debian_name = DEBIAN_NAMES.get(name, name)
    assert f"python3-{debian_name} (>= {dependencies()[name]})" in depends()


@pytest.mark.parametrize("package", ["mogstored", "python3-mogpoll"])
def test_package_asks_for_the_python_that_the_node_asks_for(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = project["requires-python"].removeprefix(">=")
    assert f"python3 (>= {version})" in field(package, "Depends")


def test_node_depends_on_its_own_mogpoll() -> None:
    assert "python3-mogpoll (= ${source:Version})" in field("mogstored", "Depends")
    assert field("python3-mogpoll", "Architecture") == "all"


@needs("make")
def test_build_says_what_it_lacks_and_how_to_install_it(tmp_path: Path) -> None:
    checker = tmp_path / "dpkg-checkbuilddeps"
    checker.write_text("#!/bin/sh\necho 'Unmet build dependencies: dh-python' >&2\nexit 1\n")
    checker.chmod(0o755)
    asked = subprocess.run(
        ["make", "-C", PACKAGING, "deb", f"WORK={tmp_path / 'work'}", f"DIST={tmp_path / 'dist'}"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode != 0
    assert "Unmet build dependencies: dh-python" in asked.stderr
    (command,) = re.findall(r"^As root: (.*)$", asked.stdout, re.MULTILINE)
    packages = command.removeprefix("apt-get install --no-install-recommends ").split()
    named = (DEBIAN / "control").read_text().partition("Build-Depends: ")[2].partition("\nSt")[0]
    listed = re.findall(r"(?<![-\w])(?!debhelper-)[a-z][\w-]+", named)
    assert packages == ["build-essential", *listed]
    assert not (tmp_path / "work").exists()


def test_the_bundled_httptools_is_as_new_as_the_node_needs() -> None:
    lowest = dependencies()["httptools"]
    assert f"'httptools>={lowest}'" in (PACKAGING / "Makefile").read_text()
    assert f"ge {lowest};" in (PACKAGING / "httptools").read_text()


def test_changelog_begins_with_the_version() -> None:
    first = (DEBIAN / "changelog").read_text().partition("\n")[0]
    assert first.startswith(f"mogstored ({mogstored.__version__}) ")


def test_every_file_that_the_rules_name_exists() -> None:
    rules = (DEBIAN / "rules").read_text()
    named = set(re.findall(r"(?<![/\w])systemd/([\w.-]+)", rules.replace("$$unit", "service")))
    assert named == {"mogstored-upgrade", "mogstored.service", "sysusers.conf", "tmpfiles.conf"}
    assert all((ROOT / "packaging" / "systemd" / name).exists() for name in named)
    assert {"mogstored.py", "mogstored.conf"} <= {path.name for path in DEBIAN.iterdir()}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("documents")
    command = [sys.executable, "-P", str(PACKAGING / "documents.py"), str(into)]
    subprocess.run(command, check=True)
    return into


def test_documents_and_examples_are_packed(documents: Path) -> None:
    shipped = {path.relative_to(documents).as_posix() for path in documents.rglob("*.*")}
    assert {
        "mogstored/README.md",
        "mogstored/CHANGELOG.md",
        "mogstored/docs/operations.md",
        "mogstored/docs/status-page.png",
        "python3-mogpoll/README.md",
    } <= shipped
    for package in ("mogstored", "python3-mogpoll"):
        assert (DEBIAN / f"{package}.docs").read_text() == f"documents/{package}/*\n"
    assert (DEBIAN / "mogstored.examples").read_text() == "monitoring\n"
    assert "packaging/monitoring $(TREE)" in (PACKAGING / "Makefile").read_text()


def test_links_in_packed_documents_lead_to_packed_files(documents: Path) -> None:
    pages = list(documents.rglob("*.md"))
    links = [
        (page, link.partition("#")[0])
        for page in pages
        for link in re.findall(r"\]\(([^)\s#]+)", page.read_text())
        if ":" not in link
    ]
    assert "operations.md" in {os.path.basename(link) for _, link in links}
    assert [link for page, link in links if not (page.parent / link).exists()] == []
    targets = [(page.parent / link).resolve() for page, link in links]
    assert [path for path in targets if not path.is_relative_to(documents)] == []


def test_unit_of_the_package_runs_what_the_package_installs() -> None:
    rules = (DEBIAN / "rules").read_text()
    unit = (ROOT / "packaging" / "systemd" / "mogstored.service").read_text()
    for old, new in re.findall(r"s,(/opt/\S+?),(\S+?),", rules):
        assert old in unit
        unit = unit.replace(old, new)
    programs = re.findall(r"(?:ExecStart=|/bin/sh )(\S+)", unit)
    assert programs == ["/usr/bin/mogstored", "/usr/libexec/mogstored/mogstored-upgrade"]
    assert all(f"debian/mogstored{program}" in rules for program in programs)


def test_configuration_of_the_package_is_valid(tmp_path: Path) -> None:
    config = tmp_path / "mogstored.conf"
    (tmp_path / "dev1").mkdir()
    text = (DEBIAN / "mogstored.conf").read_text()
    config.write_text(text.replace("/var/mogdata", str(tmp_path)))
    asked = subprocess.run(
        [sys.executable, "-P", "-m", "mogstored", "--config", config, "--check-config"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stderr) == (
        0,
        "mogstored: errors: 0, warnings: 0\n",
    )


def test_what_autopkgtest_runs_says_what_it_needs() -> None:
    paragraphs = (DEBIAN / "tests" / "control").read_text().split("\n\n")
    fields = [dict(re.findall(r"^([\w-]+): (.*)$", text, re.MULTILINE)) for text in paragraphs]
    needs = {each["Tests"]: each["Restrictions"].split(", ") for each in fields if "Tests" in each}
    assert {f"tests/{name}" for name in needs} == {
        str(path.relative_to(DEBIAN)) for path in SCRIPTS if path.parent.name == "tests"
    }
    for name, restrictions in needs.items():
        script = DEBIAN / "tests" / name
        text = script.read_text()
        assert script.stat().st_mode & 0o111 == 0o111
        assert ("skippable" in restrictions) == ("exit 77" in text)
        # It opens ports, and removes what is installed.
        assert {"needs-root", "isolation-container", "breaks-testbed"} <= set(restrictions)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_shell(script: Path) -> None:
    checked = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@needs("shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    checked = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert checked.stdout == ""


def contents(package: Path) -> set[str]:
    """List the files of a package, without its folders."""
    command = ["dpkg-deb", "--contents", str(package)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split() for line in listed.stdout.splitlines()]
    return {line[5] for line in lines if not line[0].startswith("d")}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    "MOG_BUILD_PACKAGES" not in os.environ,
    reason="builds a package, with help of the network: only with MOG_BUILD_PACKAGES=1",
)
def test_package_is_built(tmp_path: Path) -> None:
    work, dist = tmp_path / "work", tmp_path / "dist"
    built = subprocess.run(
        ["make", "-C", PACKAGING, "deb", f"WORK={work}", f"TREE={work}/mogstored", f"DIST={dist}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    packages = sorted(dist.glob("*.deb"))
    assert [package.name.partition("_")[0] for package in packages] == [
        "mogstored",
        "python3-mogpoll",
    ]
    node, mogpoll = map(contents, packages)
    assert not node & mogpoll
    assert "./usr/lib/python3/dist-packages/mogpoll/kqueue.py" in mogpoll
    assert not [path for path in node if "/mogpoll/" in path]
    assert {
        "./usr/bin/mogstored",
        "./usr/lib/mogstored/mogstored/cli.py",
        "./usr/lib/sysusers.d/mogstored.conf",
        "./usr/lib/tmpfiles.d/mogstored.conf",
        "./etc/default/mogstored",
        "./usr/share/doc/mogstored/docs/operations.md",
        "./usr/libexec/mogstored/mogstored-upgrade",
        "./etc/mogilefs/mogstored.conf",
        "./usr/share/man/man1/mogstored.1.gz",
        "./usr/share/doc/mogstored/examples/monitoring/prometheus/mogstored.rules.yml",
        "./usr/share/doc/mogstored/examples/monitoring/grafana/mogstored.json",
    } <= node
