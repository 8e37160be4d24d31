"""The workflows: actions pinned, least permissions, and commands that exist in this tree."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project._tree import ROOT

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))

# What a job may write, beyond reading the repository.
WRITES = {
    ("release.yml", "mogpoll"): {"id-token"},
    ("release.yml", "mogstored"): {"id-token"},
    ("release.yml", "github"): {"id-token", "contents", "attestations"},
}

_TARGETS = re.compile(r"^([\w-]+(?: [\w-]+)*):(?!=)", re.MULTILINE)

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the workflows are in clones only")


def jobs(workflow: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(workflow.read_text())["jobs"]
    return found


def all_jobs() -> list[tuple[str, str, dict[str, Any]]]:
    return [(path.name, name, job) for path in WORKFLOWS for name, job in jobs(path).items()]


JOBS = pytest.mark.parametrize(
    ("workflow", "name", "job"),
    all_jobs(),
    ids=lambda value: value if isinstance(value, str) else "",
)


def commands() -> list[list[str]]:
    """List the lines that jobs run, as words."""
    scripts = [
        step["run"] for _, _, job in all_jobs() for step in job.get("steps", ()) if "run" in step
    ]
    lines = [line for script in scripts for line in re.split(r"\n|&&", script)]
    return [shlex.split(line) for line in lines if line.strip()]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_say_their_tag(workflow: Path) -> None:
    used = re.findall(r"^ *(?:- )?uses: (.*)$", workflow.read_text(), re.MULTILINE)
    loose = [line for line in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", line)]
    assert [line for line in loose if not line.startswith("./.github/workflows/")] == []
    assert used


def test_one_action_has_one_commit() -> None:
    used = {
        line for path in WORKFLOWS for line in re.findall(r"uses: ([^./].*)", path.read_text())
    }
    assert len({line.partition("@")[0] for line in used}) == len(used)


@JOBS
def test_images_are_pinned(workflow: str, name: str, job: dict[str, Any]) -> None:
    image = job.get("container", {}).get("image", "@sha256:" + 64 * "0")
    assert re.search(r"@sha256:[0-9a-f]{64}$", image)


@JOBS
def test_job_has_the_permissions_that_it_needs_and_no_more(
    workflow: str, name: str, job: dict[str, Any]
) -> None:
    assert "permissions" in job
    writes = {scope for scope, access in job["permissions"].items() if access == "write"}
    assert writes == WRITES.get((workflow, name), set())
    assert set(job["permissions"]) - writes <= {"contents"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_is_permitted_where_a_job_says_nothing(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {}


@JOBS
def test_job_ends_and_leaves_no_credentials(workflow: str, name: str, job: dict[str, Any]) -> None:
    if "uses" in job:
        return
    assert job["timeout-minutes"] <= 120
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@JOBS
def test_scripts_take_no_text_of_others(workflow: str, name: str, job: dict[str, Any]) -> None:
    # What a branch or a title says would be run; variables are quoted by the shell.
    assert [step["run"] for step in job.get("steps", ()) if "${{" in step.get("run", "")] == []


def targets_of(folder: Path) -> set[str]:
    return {
        name
        for names in _TARGETS.findall((folder / "Makefile").read_text())
        for name in names.split()
    }


def test_targets_of_make_exist() -> None:
    made = [words[1:] for words in commands() if words[0] == "make"]
    assert len(made) > 5
    missing = []
    for words in made:
        folder = ROOT / words[1] if words[0] == "-C" else ROOT
        wanted = [word for word in words[2 if words[0] == "-C" else 0 :] if "=" not in word]
        missing += [word for word in wanted if word not in targets_of(folder)]
    assert missing == []


def test_files_of_the_tree_that_are_run_exist() -> None:
    named = {
        word.strip("$()")
        for words in commands()
        for word in words
        if re.match(r"\$?\(?(\.ci|vm|packaging)/", word)
    }
    assert {".ci/run", "vm/provision/freebsd.sh", "packaging/debian/needed"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_python_of_tox_and_of_the_metadata_is_run() -> None:
    matrix = jobs(FOLDER / "workflows" / "checks.yml")["linux"]["strategy"]["matrix"]["include"]
    environments = {row["environment"] for row in matrix}
    (listed,) = re.findall(r"^env_list = (.*)$", (ROOT / "tox.ini").read_text(), re.MULTILINE)
    assert environments == {name for name in listed.split(", ") if name.startswith("py3")}
    assert {f"py{row['python'].replace('.', '')}" for row in matrix} == environments
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.findall(r":: (3\.\d+)", "\n".join(project["classifiers"]))
    assert [row["python"] for row in matrix if "t" not in row["python"]] == versions


def test_releases_of_freebsd_are_those_of_the_machines() -> None:
    matrix = jobs(FOLDER / "workflows" / "checks.yml")["bsd"]["strategy"]["matrix"]["include"]
    machines = yaml.safe_load((ROOT / "vm" / "machines.yml").read_text())["machines"]
    wanted = {one["release"] for one in machines if one["system"] == "freebsd"}
    assert {row["release"] for row in matrix if row["system"] == "freebsd"} == wanted


def test_mogpoll_is_published_before_the_node_and_after_all_checks() -> None:
    release = jobs(FOLDER / "workflows" / "release.yml")
    order = ["mogstored", "mogpoll", "build", "checks"]
    for name, before in itertools.pairwise(order):
        assert before in release[name]["needs"]
    for name in ("mogpoll", "mogstored"):
        assert release[name]["environment"] == f"pypi-{name}"
        assert (
            f"cp release/{name}-* dist/" in [step.get("run") for step in release[name]["steps"]][1]
        )


@pytest.mark.parametrize("path", sorted((FOLDER / "ISSUE_TEMPLATE").glob("*.yml")), ids=str)
def test_issue_forms_are_forms(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert form["blank_issues_enabled"] is False
        return
    assert {"name", "description", "body"} <= set(form)
    names = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(names) == len(set(names))


def test_a_report_of_a_fault_brings_what_is_needed_to_look_at_it() -> None:
    node = (FOLDER / "ISSUE_TEMPLATE" / "node.yml").read_text()
    assert "mogstored --version" in node
    assert "--check-config" in node
    assert "python -m mogpoll --json" in (FOLDER / "ISSUE_TEMPLATE" / "mogpoll.yml").read_text()
