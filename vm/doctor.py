"""What this host lacks to run a machine, found before anything is downloaded."""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil

from vm import end_of_life
from vm.drivers import qemu
from vm.drivers.driver import RunOptions
from vm.drivers.image_machine import OVERLAY_BYTES
from vm.errors import VMError
from vm.images import disk_images
from vm.machines import Image, Machine
from vm.paths import cache, check_space, require_tool

_SSH = (("ssh", "openssh-client"), ("tar", "tar"))
_QEMU = (
    (qemu.QEMU, "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("ssh-keygen", "openssh-client"),
)
_BUILDERS = (("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is missing; without `is_fatal` the machine runs nevertheless."""

    what: str
    advice: str
    is_fatal: bool


def examine(machine: Machine, options: RunOptions, today: datetime.date) -> list[Finding]:
    """Return what this host lacks for a machine; nothing is changed."""
    findings: list[Finding] = []
    if machine.image is not None and not options.vagrant:
        findings += _of_image(machine, machine.image)
    else:
        findings += _missing(("vagrant", "vagrant"), *_SSH)
    if (warning := end_of_life.warning(machine, today)) is not None:
        findings.append(Finding(warning, "", is_fatal=False))
    return findings


def require(machine: Machine, options: RunOptions, today: datetime.date) -> list[str]:
    """Return what to warn of. Raises: VMError with all that keeps the machine from running."""
    findings = examine(machine, options, today)
    fatal = [finding for finding in findings if finding.is_fatal]
    if fatal:
        advice = dict.fromkeys(finding.advice for finding in fatal)
        raise VMError("; ".join(each.what for each in fatal), "\n    ".join(advice))
    return [finding.what for finding in findings]


def _of_image(machine: Machine, image: Image) -> Iterator[Finding]:
    yield from _missing(*_QEMU, *_SSH)
    if image.build is not None and disk_images.space_needed(machine, image):
        yield from _missing(*_BUILDERS)
        if os.geteuid() != 0:
            yield Finding(
                f"vm/images/{image.build} needs root", "Build it once with sudo.", is_fatal=True
            )
    yield from _acceleration(image.accel)
    has_disk = (cache() / machine.name / "disk.qcow2").exists()
    arriving = disk_images.space_needed(machine, image)
    needed = arriving + (0 if has_disk else OVERLAY_BYTES)
    what = f"the {'image and the ' if arriving else ''}disk of {machine.name}"
    yield from _failing(lambda: check_space(cache(), needed, what))
    free = psutil.virtual_memory().available >> 20
    if free < machine.memory:
        yield Finding(
            f"{machine.name} has {machine.memory} MiB of memory, and {free} MiB are free here",
            "",
            is_fatal=False,
        )


def _acceleration(wanted: str) -> Iterator[Finding]:
    reason = qemu.no_kvm()
    if wanted == "tcg" or reason is None:
        return
    if wanted == "kvm":
        yield Finding(
            f"acceleration by kvm is asked for, and here is {reason}",
            "Load the module kvm_intel or kvm_amd, and be in the group kvm.",
            is_fatal=True,
        )
    else:
        yield Finding(
            f"{reason}: the guest is emulated, 10 to 30 times slower; all time limits are longer",
            "With KVM: load the module kvm_intel or kvm_amd, and be in the group kvm.",
            is_fatal=False,
        )


def _missing(*tools: tuple[str, str]) -> Iterator[Finding]:
    for tool, package in tools:
        yield from _failing(functools.partial(require_tool, tool, package))


def _failing(check: Callable[[], object]) -> Iterator[Finding]:
    try:
        check()
    except VMError as error:
        yield Finding(str(error), error.advice, is_fatal=True)
