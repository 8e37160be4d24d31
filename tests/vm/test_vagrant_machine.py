"""A machine from a box, with a fake vagrant; and our Vagrantfile with the real one, if any."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project._tree import ROOT
from tests.vm.lab import Lab


def calls(lab: Lab, verb: str) -> list[list[str]]:
    return [call for call in lab.programs.calls("vagrant") if verb in call]


def test_box_comes_up_with_its_provider_and_its_checksum(lab: Lab) -> None:
    assert lab.vm("up", "boxed") == 0
    (call,) = calls(lab, "up")
    assert call == ["up", "boxed", "--no-provision", "--provider", "libvirt"]
    lab.programs.play()
    assert str(lab.programs.parts["seen checksum"]).startswith("sha256:")


def test_running_box_is_left_alone(lab: Lab) -> None:
    lab.programs.play(vagrant="running")
    assert lab.vm("up", "boxed") == 0
    assert calls(lab, "up") == []


@pytest.mark.parametrize(
    ("part", "shown"),
    [("not_created", "not created"), ("running", "running"), ("poweroff", "stopped")],
)
def test_state_is_listed(
    part: str, shown: str, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.programs.play(vagrant=part)
    assert lab.vm("list") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "boxed" in line]
    assert line.endswith(f"vagrant   {shown}")


def test_box_that_is_gone(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.play(vagrant="box gone")
    assert lab.vm("up", "boxed") == 1
    assert "vagrant up boxed" in (output := capsys.readouterr().err)
    assert "failed with status 1" in output
    assert "docs/vm.md" in output


def test_box_that_never_answers(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.play(vagrant="running")
    lab.programs.answer(("true", 255, ""))
    assert lab.vm("up", "boxed", "--patience", "0.01") == 1
    assert "boxed: no login over ssh within 1 s" in capsys.readouterr().err


def test_root_is_reached_with_sudo(lab: Lab) -> None:
    lab.programs.play(vagrant="running")
    assert lab.vm("provision", "boxed") == 0
    (call,) = [call for call in lab.programs.calls("ssh") if "freebsd.sh" in call[-1]]
    assert call[call.index("-l") + 1] == "vagrant"
    assert call[-1].startswith("sudo -n sh -c ")
    assert "~vagrant/mogvm/src/vm/provision/freebsd.sh python3" in call[-1]


def test_halt_and_destroy_are_vagrants(lab: Lab) -> None:
    lab.programs.play(vagrant="running")
    assert lab.vm("halt", "boxed") == lab.vm("destroy", "boxed") == 0
    assert calls(lab, "halt") == [["halt", "boxed"]]
    assert calls(lab, "destroy") == [["destroy", "--force", "boxed"]]


def test_without_vagrant(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.remove("vagrant")
    assert lab.vm("up", "boxed") == 1
    assert "vm: vagrant is not installed" in capsys.readouterr().err
    assert lab.vm("list") == 0
    assert "vagrant is not installed" in capsys.readouterr().out


def test_image_alone_cannot_be_run_by_vagrant(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab.vm("up", "imaged", "--vagrant") == 1
    assert "imaged has no box" in capsys.readouterr().err


def test_ruby_names_no_machine() -> None:
    text = (ROOT / "vm" / "Vagrantfile").read_text()
    assert "freebsd14" not in text
    assert "debian" not in text


@pytest.mark.skipif(shutil.which("vagrant") is None, reason="vagrant is not installed")
def test_vagrant_finds_our_file_valid(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"),
        "VAGRANT_HOME": str(tmp_path / "home"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "MOG_VM_BOX_CHECKSUM": "sha256:" + "0" * 64,
    }
    done = subprocess.run(
        ["vagrant", "validate"],
        cwd=ROOT / "vm",
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout
