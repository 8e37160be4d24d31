"""The seed disk: what a machine without a box is told at its first boot.

Debian's images have cloud-init, FreeBSD's have nuageinit(7), which knows a part of it. Both look
for a file system labelled `cidata` with the files meta-data and user-data. User-data keeps to what
both know: users with keys, and files to write. FreeBSD's sshd lets no root in by default, so the
seed appends to its configuration; nuageinit runs before sshd starts. On Debian that line is the
default. In nuageinit the network is DHCP's without being told.
"""

from __future__ import annotations

from pathlib import Path

import pycdlib
import yaml

USER = "tester"


def write_seed(into: Path, machine: str, public_key: str) -> None:
    """Write an ISO 9660 image with the two files."""
    files = {"meta-data": meta_data(machine), "user-data": user_data(public_key)}
    sources = []
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for name, text in files.items():
        source = into.with_name(name)
        source.write_text(text)
        sources.append(source)
        plain = name.upper().replace("-", "_")
        iso.add_file(str(source), f"/{plain}.;1", rr_name=name, joliet_path=f"/{name}")
    iso.write(str(into))
    iso.close()
    for source in sources:
        source.unlink()


def meta_data(machine: str) -> str:
    return yaml.safe_dump({"instance-id": f"{machine}-1", "local-hostname": machine})


def user_data(public_key: str) -> str:
    """Say who may log in: an ordinary user who runs the suite, and root who sets things up."""
    tester = {
        "name": USER,
        "shell": "/bin/sh",
        "ssh_authorized_keys": [public_key],
    }
    config = {
        "disable_root": False,
        "ssh_pwauth": False,
        "users": [tester, {"name": "root", "ssh_authorized_keys": [public_key]}],
        "write_files": [
            {
                "path": "/etc/ssh/sshd_config",
                "append": True,
                "content": "PermitRootLogin prohibit-password\n",
            }
        ],
    }
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)
