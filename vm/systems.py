"""How the machines' systems differ: one row each.

FreeBSD: the BASIC-CLOUDINIT images run firstboot_freebsd_update (14) or firstboot_pkg_upgrade (15,
pkgbase) before logins; both take minutes and ask for a reboot. rc(8) reads rc.conf before
nuageinit(7) runs, and /etc/rc.conf.d/NAME again for each service, so only a file there switches
one off during the same boot. `write_files` exists from 14.4 on and makes no directories;
/etc/rc.conf.d is part of the system. nuageinit finds its seed on a CD-ROM; reports on a
virtio disk differ. sshd refuses root by default. rc(8) removes /firstboot at its end, after sshd
has started, and reboots then if /firstboot-reboot is there.
https://man.freebsd.org/nuageinit(7); in FreeBSD's sources libexec/rc/rc and
release/tools/basic-cloudinit.conf.

OpenBSD: cloud-init of the image builder hcartiaux/openbsd-cloud-image, whose sshd_config refuses
root in a line of its own; sshd takes the first value, so root is reached by doas(1). Files need an
owner, since cloud-init's default is a group that the BSDs lack.
"""

from __future__ import annotations

from dataclasses import dataclass

USER = "tester"


@dataclass(frozen=True, slots=True)
class SeedFile:
    """A file that the first boot writes, or appends to."""

    path: str
    content: str
    append: bool = False
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class System:
    """`root_prefix` runs a command as root; without one, root logs in. `first_boot` names the
    files that are there until the first boot has ended."""

    root_prefix: str = ""
    seed_on_cdrom: bool = True
    seed_files: tuple[SeedFile, ...] = ()
    first_boot: tuple[str, ...] = ()


def _root_by_ssh(owner: str | None = None) -> SeedFile:
    line = "PermitRootLogin prohibit-password\n"
    return SeedFile("/etc/ssh/sshd_config", line, append=True, owner=owner)


def _switched_off(service: str) -> SeedFile:
    return SeedFile(f"/etc/rc.conf.d/{service}", f'{service}_enable="NO"\n')


SYSTEMS = {
    "debian": System(seed_on_cdrom=False, seed_files=(_root_by_ssh(),)),
    "freebsd": System(
        seed_files=(
            _root_by_ssh(),
            _switched_off("firstboot_freebsd_update"),
            _switched_off("firstboot_pkg_upgrade"),
        ),
        first_boot=("/firstboot", "/firstboot-reboot"),
    ),
    "netbsd": System(seed_files=(_root_by_ssh("root:wheel"),)),
    "openbsd": System(
        root_prefix="doas -n",
        seed_files=(SeedFile("/etc/doas.conf", f"permit nopass {USER}\n", owner="root:wheel"),),
    ),
}
