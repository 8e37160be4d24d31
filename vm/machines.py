"""machines.yml as data: all machines, each checked before it is used."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from vm.errors import VMError
from vm.fields import Fields
from vm.systems import SYSTEMS

MACHINES = Path(__file__).with_name("machines.yml")
PROVIDERS = ("libvirt", "qemu", "virtualbox")
ACCELERATORS = ("auto", "kvm", "tcg")

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_PACKAGE = re.compile(r"[a-z0-9{][A-Za-z0-9+.%{}_-]*")
_LEAST_MEMORY_MIB = 512


@dataclass(frozen=True, slots=True)
class Box:
    """A Vagrant box: its name, and the URL it is downloaded from."""

    name: str
    url: str
    checksum: str | None
    provider: str


@dataclass(frozen=True, slots=True)
class Image:
    """A disk image that qemu boots: at a URL, at a path, or built by a script."""

    url: str | None
    path: str | None
    build: str | None
    checksum: str | None
    disk: str
    accel: str


@dataclass(frozen=True, slots=True)
class Machine:
    """One entry. `suite` is what pytest runs of the tests; empty for all."""

    name: str
    system: str
    release: str
    end_of_life: datetime.date
    suite: str
    memory: int
    cpus: int
    packages: tuple[str, ...]
    box: Box | None
    image: Image | None


class Machines(dict[str, Machine]):
    """The machines by name, and the errors of entries that are wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, VMError] = {}


def load(path: Path = MACHINES) -> Machines:
    """Read the file and check each entry; a wrong one stops no other machine.

    Raises: VMError naming file and key, when the file is no list of machines.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VMError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise VMError(f"{path}: not YAML: {error}") from error
    top = Fields(content, str(path))
    listed = content.get("machines")
    if not isinstance(listed, list) or not listed:
        raise top.wrong("machines", "must be a list of machines")
    if unknown := [str(key) for key in content if key != "machines"]:
        raise top.wrong(unknown[0], "is not known here")
    machines = Machines()
    for number, entry in enumerate(listed, start=1):
        name = _name_of(entry, number)
        try:
            if name in machines or name in machines.broken:
                machines.pop(name, None)
                raise VMError(f"{path}: machine '{name}', key 'name': is used twice")
            machines[name] = _machine(entry, path, number)
        except VMError as error:
            machines.broken.setdefault(name, error)
    return machines


def select(machines: Machines, names: Sequence[str]) -> None:
    """Check the names. Raises: VMError listing those there are."""
    for name in names:
        if name not in machines and name not in machines.broken:
            known = ", ".join([*machines, *machines.broken])
            raise VMError(f"no machine '{name}'", f"Known machines: {known}.")


def find(machines: Machines, name: str) -> Machine:
    """Return a machine. Raises: VMError with what is wrong in its entry."""
    if name in machines.broken:
        raise machines.broken[name]
    return machines[name]


def _name_of(entry: object, number: int) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else f"number {number}"


def _machine(entry: object, path: Path, number: int) -> Machine:
    name = _name_of(entry, number)
    quoted = name if name == f"number {number}" else f"'{name}'"
    fields = Fields(entry, f"{path}: machine {quoted}")
    name = fields.text("name")
    if not _NAME.fullmatch(name):
        raise fields.wrong("name", f"is {name!r}, and may have a-z, 0-9 and - only")
    machine = Machine(
        name=name,
        system=fields.text("system", tuple(SYSTEMS)),
        release=fields.text("release"),
        end_of_life=fields.date("end_of_life"),
        suite=fields.optional_text("suite") or "",
        memory=fields.number("memory", lowest=_LEAST_MEMORY_MIB),
        cpus=fields.number("cpus", lowest=1),
        packages=_packages(fields),
        box=_box(fields),
        image=_image(fields.fields("image")),
    )
    fields.done()
    if machine.box is None and machine.image is None:
        raise fields.wrong("image", "is missing, and so is box: one of them is needed")
    return machine


def _packages(fields: Fields) -> tuple[str, ...]:
    packages = fields.texts("packages")
    for package in packages:
        if not _PACKAGE.fullmatch(package):
            raise fields.wrong("packages", f"has {package!r}, which is no package's name")
    return packages


def _box(fields: Fields) -> Box | None:
    name = fields.optional_text("box")
    if name is None:
        for key in ("box_url", "checksum", "provider"):
            if fields.optional_text(key) is not None:
                raise fields.wrong(key, "belongs to a box, and there is none")
        return None
    box = Box(
        name=name,
        url=fields.text("box_url"),
        checksum=fields.checksum("checksum"),
        provider=fields.text("provider", PROVIDERS),
    )
    if not box.url.startswith(("https://", "file:///")):
        raise fields.wrong("box_url", f"is {box.url!r}, and must be https:// or file:///")
    if box.url.endswith(".box") and box.checksum is None:
        raise fields.wrong("checksum", "is missing, and box_url is a file")
    if not box.url.endswith(".box") and box.checksum is not None:
        raise fields.wrong(
            "checksum", "is for a box_url that ends in .box; a catalogue has its own"
        )
    return box


def _image(fields: Fields | None) -> Image | None:
    if fields is None:
        return None
    image = Image(
        url=fields.optional_text("url"),
        path=fields.optional_text("path"),
        build=fields.optional_text("build"),
        checksum=fields.checksum("checksum"),
        disk=fields.optional_text("disk") or "10G",
        accel=fields.optional_text("accel", ACCELERATORS) or "auto",
    )
    fields.done()
    given = [key for key in ("url", "path", "build") if getattr(image, key) is not None]
    if len(given) != 1:
        raise fields.wrong("url", "give exactly one of url, path and build")
    if image.url is not None and not image.url.startswith("https://"):
        raise fields.wrong("url", f"is {image.url!r}, and must begin with https://")
    if image.build is None and image.checksum is None:
        raise fields.wrong("checksum", "is missing")
    if image.build is not None and image.checksum is not None:
        raise fields.wrong("checksum", "cannot be known for an image that is built here")
    if not re.fullmatch(r"[1-9][0-9]*G", image.disk):
        raise fields.wrong("disk", f"is {image.disk!r}, and must be like 10G")
    return image
