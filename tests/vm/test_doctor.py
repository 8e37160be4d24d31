"""`doctor` and the checks before a download: what a host lacks, and what to do about it."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys

import psutil
import pytest

from tests.project._tree import ROOT
from tests.vm.lab import Lab
from vm import cli, requirements
from vm.drivers import qemu

BUILT = """\
  - name: built
    system: debian
    release: "12"
    end_of_life: 2099-12-31
    memory: 1024
    cpus: 1
    image: {build: debian.sh, accel: tcg}
"""


def test_host_that_has_all(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.vm("doctor") == 0
    assert capsys.readouterr().out == "can run here: imaged, boxed, fresh\n"
    assert not lab.dir.parent.exists()
    assert lab.programs.calls("qemu-system-x86_64") == lab.programs.calls("vagrant") == []


def test_finding_is_shown_once_with_its_machines(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.programs.remove("qemu-system-x86_64")
    assert lab.vm("doctor") == 1
    *finding, last = capsys.readouterr().out.splitlines()
    assert finding[:2] == [
        "missing  qemu-system-x86_64 is not installed",
        "         for imaged, fresh",
    ]
    assert finding[2].startswith("         On Debian: apt-get install qemu-system-x86;")
    assert (len(finding), last) == (3, "can run here: boxed")


def test_machines_can_be_named(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.remove("vagrant")
    assert lab.vm("doctor", "imaged") == 0
    assert lab.vm("doctor", "boxed") == 1
    assert "vagrant is not installed" in capsys.readouterr().out


def test_all_that_is_missing_is_said_before_the_image_is_looked_at(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.image.unlink()
    for tool in ("qemu-system-x86_64", "qemu-img"):
        lab.programs.remove(tool)
    assert lab.vm("up", "imaged") == 1
    output = capsys.readouterr().err
    assert "vm: qemu-system-x86_64 is not installed; qemu-img is not installed\n" in output
    assert "apt-get install qemu-utils" in output
    assert "no image" not in output


def test_running_machine_is_not_examined(lab: Lab) -> None:
    assert lab.vm("up", "imaged") == 0
    lab.programs.remove("qemu-img")
    assert lab.vm("up", "imaged") == 0


@pytest.mark.parametrize(("accel", "status", "kind"), [("auto", 0, "note"), ("kvm", 1, "missing")])
def test_host_without_kvm(
    accel: str, status: int, kind: str, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    text = lab.machines_file.read_text()
    lab.machines_file.write_text(text.replace("accel: tcg", f"accel: {accel}"))
    lab.monkeypatch.setattr(qemu, "no_kvm", lambda: "no /dev/kvm")
    assert lab.vm("doctor", "imaged") == status
    output = capsys.readouterr().out
    assert output.startswith(kind)
    assert "no /dev/kvm" in output
    assert "kvm_intel" in output


def test_reason_why_kvm_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "_KVM", "/dev/null")
    monkeypatch.setattr(qemu, "_can_virtualize", lambda: False)
    assert qemu.no_kvm() == "a processor without virtualization"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert qemu.no_kvm() == "no access to /dev/null"
    monkeypatch.setattr(qemu, "_KVM", "/nowhere/kvm")
    assert qemu.no_kvm() == "no /nowhere/kvm"


def test_image_that_is_built_here_needs_its_tools_and_space(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.machines_file.write_text(lab.machines_file.read_text() + BUILT)
    full = shutil.disk_usage(lab.place)._replace(free=5 << 20)
    lab.monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    lab.monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert lab.vm("doctor", "built") == 1
    output = capsys.readouterr().out
    for finding in (
        "mmdebstrap is not installed",
        "vm/images/debian.sh needs root",
        "no space for the image and the disk of built: 11264 MiB needed, 5 MiB free",
    ):
        assert f"missing  {finding}" in output


def test_host_with_little_memory(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    little = psutil.virtual_memory()._replace(available=100 << 20)
    lab.monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    assert lab.vm("doctor", "imaged") == 0
    assert "note     imaged has 1024 MiB of memory, and 100 MiB" in capsys.readouterr().out


def test_release_past_its_end_is_warned_of(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.monkeypatch.setattr(cli, "_today", lambda: datetime.date(2100, 1, 1))
    warning = "imaged: support of debian 12 ended on 2099-12-31"
    assert lab.vm("list") == lab.vm("doctor", "imaged") == lab.vm("up", "imaged") == 0
    output = capsys.readouterr()
    assert f"vm: {warning}" in output.err
    assert f"note     {warning}" in output.out
    assert f"==> imaged: note: {warning}" in output.out


def test_entry_that_is_wrong(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    text = lab.machines_file.read_text()
    lab.machines_file.write_text(text.replace("name: boxed", "name: boxed\n    colour: red"))
    assert lab.vm("doctor") == 1
    output = capsys.readouterr().out
    assert "key 'colour': is not known here" in output
    assert "can run here: imaged, fresh" in output


def test_interpreter_without_the_packages() -> None:
    """-S: the interpreter's own modules and the checkout, and nothing that was installed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "vm", "list"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    packages = list(requirements.MODULES.values())
    assert f"vm: not installed for this Python: {', '.join(packages)}" in done.stderr
    assert f"python -m pip install {' '.join(packages)}" in done.stderr


def test_required_packages_are_those_of_the_dependency_group() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    group = text.partition("\nvm = [")[2].partition("]")[0]
    assert requirements.missing() == []
    assert [name for name in requirements.MODULES.values() if f'"{name}>=' not in group] == []
