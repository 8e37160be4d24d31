"""A machine that qemu boots from an image: its states, qemu's command line, and its failures."""

from __future__ import annotations

import os
import shutil
import stat

import psutil
import pytest

from tests.support.processes import is_gone
from tests.support.waiting import wait_until
from tests.vm.lab import Lab
from vm import progress
from vm.drivers import qemu


def process(lab: Lab) -> psutil.Process:
    return psutil.Process(int((lab.dir / "qemu.pid").read_text()))


def listed(lab: Lab, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert lab.vm("list") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "imaged" in line]
    return line.split(maxsplit=4)[4]


def test_life_of_a_machine(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(lab, capsys) == "not created"
    assert lab.vm("up", "imaged") == 0
    assert listed(lab, capsys) == "running"
    lab.programs.play(**{"pid file": str(lab.dir / "qemu.pid")})
    assert lab.vm("halt", "imaged") == 0
    assert "imaged: is off" in capsys.readouterr().out
    assert listed(lab, capsys) == "stopped"
    assert lab.vm("up", "imaged") == 0
    running = process(lab)
    assert lab.vm("destroy", "imaged") == 0
    assert listed(lab, capsys) == "not created"
    wait_until(lambda: is_gone(running.pid), "qemu is gone")
    assert lab.image.exists()


def test_up_of_a_running_machine_starts_no_second_one(lab: Lab) -> None:
    assert lab.vm("up", "imaged") == lab.vm("up", "imaged") == 0
    assert len(lab.programs.calls("qemu-system-x86_64")) == 1


def test_command_line_of_qemu(lab: Lab) -> None:
    assert lab.vm("up", "imaged", "--offline") == 0
    (call,) = lab.programs.calls("qemu-system-x86_64")
    text = " ".join(call)
    port = (lab.dir / "port").read_text().strip()
    assert f"hostfwd=tcp:127.0.0.1:{port}-:22,restrict=on" in text
    assert "-smp 2 -m 1024" in text
    assert "-accel tcg" in text
    assert str(lab.image) not in text
    (image,) = lab.programs.calls("qemu-img")
    assert image[-4:] == ["-b", str(lab.image), str(lab.dir / "disk.qcow2"), "10G"]


def test_guest_that_may_reach_the_internet_is_not_restricted(lab: Lab) -> None:
    assert lab.vm("up", "imaged") == 0
    (call,) = lab.programs.calls("qemu-system-x86_64")
    assert not [word for word in call if "restrict" in word]


def test_machine_has_a_private_key_of_its_own(lab: Lab) -> None:
    assert lab.vm("up", "imaged") == 0
    key = lab.dir / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert all(f"IdentityFile={key}" in call for call in lab.programs.calls("ssh"))


def test_guest_that_never_answers(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.answer(("true", 255, ""))
    assert lab.vm("up", "imaged", "--patience", "0.01") == 1
    output = capsys.readouterr().err
    assert "imaged: no login over ssh within 3 s" in output
    assert "| login service is up" in output
    assert "--patience" in output
    assert process(lab).is_running()


def test_guest_that_ends_while_it_boots(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.play(qemu="crashes")
    lab.programs.answer(("true", 255, ""))
    assert lab.vm("up", "imaged") == 1
    output = capsys.readouterr().err
    assert "imaged: stopped while booting" in output
    assert "| login service is up" in output


def test_qemu_that_refuses_to_start(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.play(qemu="refuses")
    assert lab.vm("up", "imaged") == 1
    output = capsys.readouterr().err
    assert "qemu does not start: qemu: could not set up host forwarding rule" in output


def test_guest_that_hangs_is_halted(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.vm("up", "imaged") == 0
    running = process(lab)
    lab.programs.answer(("shutdown", 255, ""))
    lab.monkeypatch.setattr(progress, "_ON_PIPE_S", 0.0)
    assert lab.vm("halt", "imaged", "--patience", "0.02") == 0
    output = capsys.readouterr().out
    assert "imaged: | login service is up" in output
    assert "did not shut down within 1 s; cutting its power" in output
    wait_until(lambda: is_gone(running.pid), "qemu is gone")


def test_machine_whose_qemu_was_killed_is_stopped_and_comes_up_again(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab.vm("up", "imaged") == 0
    dead = process(lab)
    dead.kill()
    wait_until(lambda: is_gone(dead.pid), "qemu is dead")
    assert listed(lab, capsys) == "stopped"
    assert lab.vm("up", "imaged") == 0


def test_number_of_another_process_is_not_taken_for_the_machine(lab: Lab) -> None:
    lab.dir.mkdir(parents=True)
    pid_file = lab.dir / "qemu.pid"
    pid_file.write_text(f"{os.getpid()}\n")
    assert qemu.running(pid_file) is None
    pid_file.write_text("nonsense\n")
    assert qemu.running(pid_file) is None


def test_interrupt_leaves_the_machine_running(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    assert lab.vm("up", "imaged") == 0
    lab.monkeypatch.setattr("vm.guest.suite.sync", interrupt)
    assert lab.vm("sync", "imaged") == 130
    assert "Running machines stay up" in capsys.readouterr().err
    assert os.getsid(process(lab).pid) == process(lab).pid != os.getsid(0)


@pytest.mark.parametrize(
    ("tool", "package"),
    [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("qemu-img", "qemu-utils"),
        ("ssh", "openssh-client"),
    ],
)
def test_missing_program(
    tool: str, package: str, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.programs.remove(tool)
    assert lab.vm("up", "imaged") == 1
    output = capsys.readouterr().err
    assert f"vm: {tool} is not installed" in output
    assert f"apt-get install {package}" in output


def test_image_with_the_wrong_checksum(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.image.write_bytes(b"another disk")
    assert lab.vm("up", "imaged") == 1
    output = capsys.readouterr().err
    assert "image.qcow2 has the wrong sha256" in output
    assert "vm/machines.yml" in output
    assert lab.programs.calls("qemu-system-x86_64") == []


def test_image_that_is_not_there(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.image.unlink()
    assert lab.vm("up", "imaged") == 1
    assert f"no image at {lab.image}" in capsys.readouterr().err


def test_image_that_qemu_img_refuses(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.play(qemu_img="fails")
    assert lab.vm("up", "imaged") == 1
    assert "not in qcow2 format" in capsys.readouterr().err


def test_disk_without_space(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    full = shutil.disk_usage(lab.place)._replace(free=5 << 20)
    lab.monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    assert lab.vm("up", "imaged") == 1
    output = capsys.readouterr().err
    assert "no space for the disk of imaged: 3072 MiB needed, 5 MiB free" in output
    assert "MOG_VM_CACHE" in output
    assert lab.programs.calls("qemu-system-x86_64") == []


def test_kvm_is_for_processors_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: True)
    for flag, accel in ((True, "kvm"), (False, "tcg")):
        monkeypatch.setattr(qemu, "_can_virtualize", lambda flag=flag: flag)
        assert qemu.acceleration("auto") == accel
    assert qemu.acceleration("kvm") == "kvm"
