"""The seed disk: the first-boot configuration of a machine that qemu boots.

Debian's images have cloud-init, FreeBSD's have nuageinit(7), which supports a subset. Both look
for a file system labelled `cidata` with the files meta-data and user-data. User-data keeps to what
both support: users with keys, and files to write, which vm/systems.py lists for each system. Both
use DHCP by default.
"""

from __future__ import annotations

from pathlib import Path

import pycdlib
import yaml

from vm.systems import USER, SeedFile, System


def write_seed(into: Path, machine: str, public_key: str, system: System) -> None:
    """Write an ISO 9660 image with the two files."""
    files = {"meta-data": meta_data(machine), "user-data": user_data(public_key, system)}
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


def user_data(public_key: str, system: System) -> str:
    """Compose user-data: logins for the user that runs the suite, and for root."""
    users: list[dict[str, object]] = [
        {"name": USER, "shell": "/bin/sh", "ssh_authorized_keys": [public_key]}
    ]
    if not system.root_prefix:
        users.append({"name": "root", "ssh_authorized_keys": [public_key]})
    config = {
        "disable_root": False,
        "ssh_pwauth": False,
        "users": users,
        "write_files": [_written(file) for file in system.seed_files],
    }
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)


def _written(file: SeedFile) -> dict[str, object]:
    written: dict[str, object] = {"path": file.path, "content": file.content}
    if file.append:
        written["append"] = True
    if file.owner is not None:
        written["owner"] = file.owner
    return written
