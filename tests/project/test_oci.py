"""The container image: its files, commands and ports are those of the node.

packaging/oci/check builds it and runs it as process 1; that takes buildah, root and minutes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project._tree import ROOT
from tests.support.daemon import Node
from tests.support.program import run

OCI = ROOT / "packaging" / "oci"
LINES = (OCI / "Containerfile").read_text().replace("\\\n", " ").splitlines()
VENV = "/opt/mogstored"


def values(instruction: str) -> list[str]:
    """Return what follows an instruction, at each place where it stands."""
    parts = (line.partition(" ") for line in LINES)
    return [rest for name, _, rest in parts if name == instruction]


def words_of(instruction: str) -> list[str]:
    """Return the list in brackets of the last such instruction."""
    words = json.loads(values(instruction)[-1][values(instruction)[-1].index("[") :])
    return [str(word) for word in words]


def ports() -> dict[str, int]:
    """Return the port of each listener that the command opens."""
    options = (word.partition("=") for word in words_of("CMD"))
    return {name: int(value.rpartition(":")[2]) for name, _, value in options if "listen" in name}


def health(admin_port: int) -> int:
    """Run the health check against a port of this host, and return its status."""
    python, *words = words_of("HEALTHCHECK")
    assert python == f"{VENV}/bin/python"
    address = f"127.0.0.1:{ports()['--adminlisten']}/"
    assert address in words[-1]
    words[-1] = words[-1].replace(address, f"127.0.0.1:{admin_port}/")
    command = [sys.executable, *words]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


def compose() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load((OCI / "compose.yml").read_text())[
        "services"
    ]
    return services


def test_image_has_two_stages_of_one_base_and_only_copies_the_result() -> None:
    assert values("FROM") == ["${BASE} AS build", "${BASE}"]
    second = LINES[LINES.index("FROM ${BASE}") :]
    copies = [line for line in second if line.startswith("COPY")]
    assert copies == [f"COPY --from=build {VENV} {VENV}"]


def test_files_that_are_copied_exist_and_are_enough_for_the_wheel(tmp_path: Path) -> None:
    for copy in values("COPY")[:-1]:
        *sources, into = copy.split()
        target = tmp_path / into.removeprefix("/src").strip("/")
        for source in map(ROOT.joinpath, sources):
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", f"{tmp_path}/dist"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_node_runs_without_root_by_number() -> None:
    (user,) = values("USER")
    number, _, group = user.partition(":")
    assert int(number) == int(group) > 0
    assert f"mogstored:x:{number}:{group}:" in (OCI / "Containerfile").read_text()


def test_command_is_one_that_the_node_takes(tmp_path: Path) -> None:
    assert words_of("ENTRYPOINT") == [f"{VENV}/bin/mogstored"]
    command = [word.replace("/var/mogdata", str(tmp_path)) for word in words_of("CMD")]
    command = [re.sub(r"=0\.0\.0\.0:\d+$", "=127.0.0.1:0", word) for word in command]
    done = run([*command, "--check-config"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--require-mount" in command


def test_ports_are_those_of_the_command() -> None:
    assert [int(port) for port in values("EXPOSE")[0].split()] == list(ports().values())
    assert list(ports()) == ["--httplisten", "--mgmtlisten", "--adminlisten"]


def test_health_check_is_that_of_readiness() -> None:
    with Node(admin=True) as node:
        assert health(node.admin[1]) == 0
    with Node(admin=True, devices=()) as node:
        assert health(node.admin[1]) != 0


def test_stop_is_a_graceful_one() -> None:
    assert values("STOPSIGNAL") == ["SIGTERM"]


def test_compose_builds_this_image_and_keeps_the_admin_listener_inside() -> None:
    node = compose()["node"]
    context = (OCI / node["build"]["context"]).resolve()
    assert (context, (context / node["build"]["dockerfile"])) == (ROOT, OCI / "Containerfile")
    published = {int(each.rpartition(":")[2]) for each in node["ports"]}
    assert published == {ports()["--httplisten"], ports()["--mgmtlisten"]}
    docroot = words_of("CMD")[0].partition("=")[2]
    targets = [volume["target"] for volume in node["volumes"]]
    assert targets == [f"{docroot}/dev1", f"{docroot}/dev2"]
    assert not any(volume["bind"]["create_host_path"] for volume in node["volumes"])


def test_prometheus_of_compose_scrapes_the_admin_listener(tmp_path: Path) -> None:
    mounted = [each.split(":")[:2] for each in compose()["prometheus"]["volumes"]]
    for source, target in mounted:
        if source.startswith("."):
            shutil.copy((OCI / source).resolve(), tmp_path / Path(target).name)
    config = tmp_path / "prometheus.yml"
    (job,) = yaml.safe_load(config.read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"node:{ports()['--adminlisten']}"]}]
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    subprocess.run([promtool, "check", "config", config], check=True, capture_output=True)


def test_check_is_plain_sh() -> None:
    text = (OCI / "check").read_text()
    assert text.startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", OCI / "check"], check=True)
    if (shellcheck := shutil.which("shellcheck")) is not None:
        subprocess.run([shellcheck, OCI / "check"], check=True)
