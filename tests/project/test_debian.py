"""The Debian package names what it needs and what there is; building it takes tools and time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mogstored
from tests.project._tree import ROOT

PACKAGING = ROOT / "packaging" / "debian"
DEBIAN = PACKAGING / "debian"
SCRIPTS = [PACKAGING / "check", PACKAGING / "httptools", DEBIAN / "postinst", DEBIAN / "postrm"]

needs_shellcheck = pytest.mark.skipif(
    not shutil.which("shellcheck"), reason="shellcheck is not installed"
)


def dependencies() -> dict[str, str]:
    """Return the libraries that the node needs, each with its lowest version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return dict(requirement.split(">=") for requirement in project["dependencies"])


def depends() -> str:
    (field,) = re.findall(
        r"^Depends: (.*(?:\n .*)*)", (DEBIAN / "control").read_text(), re.MULTILINE
    )
    return str(field) + (DEBIAN / "rules").read_text()


@pytest.mark.parametrize("name", sorted(dependencies()))
def test_package_depends_on_what_the_node_needs(name: str) -> None:
    assert f"python3-{name} (>= {dependencies()[name]})" in depends()


def test_package_asks_for_the_python_that_the_node_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = project["requires-python"].removeprefix(">=")
    assert f"python3 (>= {version})" in depends()


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
    assert named == {"mogstored-upgrade", "mogstored.service"}
    assert all((ROOT / "packaging" / "systemd" / name).exists() for name in named)
    assert {"mogstored.py", "mogstored.conf"} <= {path.name for path in DEBIAN.iterdir()}


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
    config.write_text((DEBIAN / "mogstored.conf").read_text().replace("/var/mogdata", "/"))
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


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_shell(script: Path) -> None:
    checked = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@needs_shellcheck
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    checked = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert checked.stdout == ""


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
    (package,) = dist.glob("*.deb")
    listed = subprocess.run(
        ["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True
    )
    paths = {line.split()[5] for line in listed.stdout.splitlines()}
    assert {
        "./usr/bin/mogstored",
        "./usr/lib/mogstored/mogpoll/kqueue.py",
        "./usr/libexec/mogstored/mogstored-upgrade",
        "./etc/mogilefs/mogstored.conf",
        "./usr/share/man/man1/mogstored.1.gz",
    } <= paths
