"""FreeBSD's first boot: updaters, a reboot in the middle, and a seed that is not found.

The guest of the fake ssh does what the real image does with the seed that it was given.
"""

from __future__ import annotations

import dataclasses

import pytest

from tests.vm.lab import Lab
from vm import systems
from vm.drivers import image_machine
from vm.guest import ssh

UPDATERS = ["firstboot_freebsd_update", "firstboot_pkg_upgrade"]


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.monkeypatch.setattr(ssh, "_PAUSE_S", 0.01)
    lab.monkeypatch.setattr(image_machine, "_SETTLE_S", 1.0)
    lab.programs.play(guest={"updaters": UPDATERS, "finishing": 2})
    return lab


def seen(lab: Lab) -> list[str]:
    """Return the phases of the guest, without repetitions."""
    return list(dict.fromkeys(line.split()[0] for line in lab.programs.phases()))


def test_seed_switches_the_updaters_off(lab: Lab) -> None:
    assert lab.vm("up", "fresh") == 0
    assert seen(lab) == ["booting", "finishing", "up"]


def test_boot_limit_leaves_room_for_a_first_boot() -> None:
    assert image_machine._BOOT_S >= 300


def test_reboot_in_the_middle_is_waited_for(lab: Lab) -> None:
    """An image with an updater that the seed does not know."""
    lab.programs.play(guest={"updaters": ["firstboot_new"], "finishing": 2})
    assert lab.vm("up", "fresh") == lab.vm("sync", "fresh") == 0
    assert seen(lab) == ["booting", "updating", "finishing", "leaving", "up"]
    work = [line for line in lab.programs.phases() if line.endswith("work")]
    assert set(work) == {"up work"}


def test_later_boots_are_not_waited_for(lab: Lab) -> None:
    assert lab.vm("up", "fresh") == 0
    lab.monkeypatch.setattr(image_machine, "_SETTLE_S", 3600.0)
    assert lab.vm("up", "fresh") == 0


def test_seed_that_is_not_found(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    on_virtio = dataclasses.replace(systems.SYSTEMS["freebsd"], seed_on_cdrom=False)
    lab.monkeypatch.setitem(systems.SYSTEMS, "freebsd", on_virtio)
    assert lab.vm("up", "fresh", "--patience", "0.005") == 1
    output = capsys.readouterr().err
    assert "fresh: no login over ssh within 2 s: tester@guest: Permission denied" in output
    assert "did not find or did not understand the seed" in output
    assert "| login service is up" in output


def test_first_boot_that_does_not_end(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.programs.play(guest={"updaters": UPDATERS, "finishing": 1 << 10})
    assert lab.vm("up", "fresh", "--patience", "0.005") == 1
    assert "within 2 s: the first boot goes on" in capsys.readouterr().err
