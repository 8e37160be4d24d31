"""Machines in a temporary directory, with fakes of the programs that run them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.processes import is_gone
from tests.support.waiting import wait_until
from tests.vm.fake_programs import Programs
from tests.vm.lab import Lab

# Programs that need no fake.
_REAL = ("ssh-keygen", "tar", "git", "sh")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A machines.yml with one machine of each kind, and a PATH of fakes."""
    for tool in ("ssh-keygen", "tar"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on this system")
    programs = Programs(tmp_path / "bin")
    real = tmp_path / "real"
    real.mkdir()
    for name in _REAL:
        found = shutil.which(name)
        if found is not None:
            (real / name).symlink_to(found)
    image = tmp_path / "image.qcow2"
    image.write_bytes(b"a disk")
    machines = tmp_path / "machines.yml"
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    machines.write_text(
        f"""\
machines:
  - name: imaged
    system: debian
    release: "12"
    end_of_life: 2099-12-31
    memory: 1024
    cpus: 2
    packages: [gcc]
    image: {{path: {image}, checksum: "sha256:{digest}", accel: tcg}}
  - name: boxed
    system: freebsd
    release: "14.4"
    end_of_life: 2099-12-31
    memory: 1024
    cpus: 1
    packages: [python3]
    box: some/box
    box_url: file:///nowhere/some.box
    checksum: "sha256:{digest}"
    provider: libvirt
  - name: fresh
    system: freebsd
    release: "14.5"
    end_of_life: 2099-12-31
    memory: 1024
    cpus: 1
    packages: [python3]
    suite: tests/mogpoll
    image: {{path: {image}, checksum: "sha256:{digest}", accel: tcg}}
"""
    )
    ample = 64 << 30
    space = shutil.disk_usage(tmp_path)._replace(free=ample)
    memory = psutil.virtual_memory()._replace(available=ample)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: space)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setenv("PATH", programs.path(str(real)))
    monkeypatch.setenv("MOG_VM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MOG_VM_RESULTS", str(tmp_path / "results"))
    lab = Lab(tmp_path, programs, image, machines, monkeypatch)
    yield lab
    for pid_file in (tmp_path / "cache").glob("*/qemu.pid"):
        _end(pid_file, lab)


def _end(pid_file: Path, lab: Lab) -> None:
    """Kill a fake that a test has left running."""
    try:
        process = psutil.Process(int(pid_file.read_text()))
        if any(str(lab.programs.directory) in word for word in process.cmdline()):
            process.kill()
            wait_until(lambda: is_gone(process.pid), "the fake qemu is dead")
    except (psutil.NoSuchProcess, ValueError):
        pass
