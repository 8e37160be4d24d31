"""The Ansible role: its variables and files are there, and what it writes is what the node takes.

packaging/ansible/check plays it twice in a Debian of its own; that takes root and minutes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.project._tree import ROOT
from tests.support.program import run

ANSIBLE = ROOT / "packaging" / "ansible"
ROLE = ANSIBLE / "roles" / "mogstored"
FILES = sorted(path for path in ROLE.rglob("*") if path.suffix in {".yml", ".j2"})
DEFAULTS = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())


def tasks() -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for path in sorted((ROLE / "tasks").glob("*.yml")):
        found += yaml.safe_load(path.read_text())
    return found


def test_variables_that_are_used_have_a_default_or_are_registered() -> None:
    text = "".join(path.read_text() for path in FILES)
    made = {str(task["register"]) for task in tasks() if "register" in task} | {"mogstored_own"}
    used = set(re.findall(r"\bmogstored_\w+", text))
    assert used - made == set(DEFAULTS)


def test_only_modules_of_ansible_core_are_used() -> None:
    words = {"when", "loop", "loop_control", "register", "notify", "vars", "name", "until"}
    words |= {"retries", "delay", "changed_when", "check_mode", "delegate_to", "args"}
    modules = {key for task in tasks() for key in task} - words
    assert {module.rpartition(".")[0] for module in modules} == {"ansible.builtin"}


def test_files_of_the_checkout_that_are_installed_exist() -> None:
    systemd = str(DEFAULTS["mogstored_systemd"]).replace("{{ role_path }}", str(ROLE))
    assert Path(systemd).resolve() == ROOT / "packaging" / "systemd"
    text = (ROLE / "tasks" / "program.yml").read_text() + (
        ROLE / "tasks" / "service.yml"
    ).read_text()
    names = re.findall(r"src: \"\{\{ mogstored_systemd \}\}/(\S+)\"", text)
    assert names == ["mogstored-upgrade", "mogstored.service"]
    assert all((ROOT / "packaging" / "systemd" / name).exists() for name in names)


def test_handlers_that_are_notified_exist() -> None:
    handlers = yaml.safe_load((ROLE / "handlers" / "main.yml").read_text())
    notified = {task["notify"] for task in tasks() if "notify" in task}
    assert notified == {handler["name"] for handler in handlers}


def test_configuration_is_one_that_the_node_takes(tmp_path: Path) -> None:
    text = (ROLE / "templates" / "mogstored.conf.j2").read_text()
    (tmp_path / "dev1").mkdir()
    values = {"mogstored_docroot": str(tmp_path), "mogstored_address": "127.0.0.1"}
    text = re.sub(r"\{% for .*?% endfor %\}\n", "min_free = 1M\n", text, flags=re.DOTALL)
    text = re.sub(r"\{\{ mogstored_\w+_port \}\}", "0", text).replace("0.0.0.0", "127.0.0.1")
    text = re.sub(r"\{\{ (\w+) \}\}", lambda found: values.get(found[1], "made"), text)
    file = tmp_path / "mogstored.conf"
    file.write_text(text)
    done = run(["--config", str(file), "--check-config"])
    assert done.returncode == 0, done.stderr
    assert "require_mount = yes\n" in done.stdout


def test_unit_starts_the_nodes_program_with_that_file() -> None:
    text = (ROLE / "templates" / "node.conf.j2").read_text()
    unit = (ROOT / "packaging" / "systemd" / "mogstored.service").read_text()
    (start,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    start = start.replace("{{ mogstored_conf }}", str(DEFAULTS["mogstored_conf"]))
    assert f"ExecStart={start}\n" in unit


def test_example_names_only_known_variables() -> None:
    example = yaml.safe_load((ANSIBLE / "host_vars" / "store1.yml").read_text())
    assert set(example) <= set(DEFAULTS)
    assert all({"devid", "src", "fstype"} <= set(disk) for disk in example["mogstored_disks"])


@pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible is not installed")
def test_ansible_finds_the_playbook_valid(tmp_path: Path) -> None:
    command = ["ansible-playbook", "-i", "localhost,", "--syntax-check", f"{ANSIBLE}/site.yml"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    command[0] = str(shutil.which("ansible-playbook"))
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_is_plain_sh() -> None:
    check = ANSIBLE / "check"
    assert check.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", check], check=True)
    if (shellcheck := shutil.which("shellcheck")) is not None:
        subprocess.run([shellcheck, check], check=True)
