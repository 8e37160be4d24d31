"""machines.yml: what it has, and that every mistake in it is named with machine and key."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
import yaml

from tests.project._tree import ROOT
from vm.errors import VMError
from vm.machines import load, select

GOOD = {
    "name": "one",
    "system": "freebsd",
    "release": "14.4",
    "memory": 2048,
    "cpus": 2,
    "packages": ["python3", "py{python}-sqlite3"],
    "box": "some/box",
    "box_url": "https://example.org/some.box",
    "checksum": "sha256:" + "0" * 64,
    "provider": "libvirt",
    "image": {"url": "https://example.org/one.qcow2.xz", "checksum": "https://example.org/SUMS"},
}
IMAGE = GOOD["image"]
assert isinstance(IMAGE, dict)


def written(path: Path, *machines: object) -> Path:
    file = path / "machines.yml"
    file.write_text(yaml.safe_dump({"machines": list(machines)}))
    return file


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in GOOD.items() if name != key}


def test_good_machine_is_read(tmp_path: Path) -> None:
    machine = load(written(tmp_path, GOOD))["one"]
    assert (machine.system, machine.release, machine.memory) == ("freebsd", "14.4", 2048)
    assert machine.box is not None
    assert machine.image is not None
    assert (machine.image.disk, machine.image.accel) == ("10G", "auto")


@pytest.mark.parametrize(
    ("change", "key", "complaint"),
    [
        ({"colour": "red"}, "colour", "not known"),
        ({"name": "One!"}, "name", "a-z"),
        ({"name": 7}, "name", "number 7"),
        ({"system": "plan9"}, "system", "one of: freebsd, debian"),
        ({"release": 14.4}, "release", "the number 14.4, and must be text; quote it"),
        ({"release": 15}, "release", "quote it"),
        ({"release": " "}, "release", "is empty"),
        ({"release": None}, "release", "has no value"),
        ({"memory": "2048"}, "memory", "whole number"),
        ({"memory": 2.5}, "memory", "the number 2.5"),
        ({"memory": 16}, "memory", "at least 512"),
        ({"cpus": True}, "cpus", "truth value true"),
        ({"cpus": 0}, "cpus", "at least 1"),
        ({"packages": "python3"}, "packages", "must be a list"),
        ({"packages": ["python3", 3.12]}, "packages[1]", "the number 3.12"),
        ({"packages": ["a; reboot"]}, "packages", "no package's name"),
        ({"box_url": "ftp://example.org/x.box"}, "box_url", "https://"),
        ({"provider": "bhyve"}, "provider", "libvirt, qemu, virtualbox"),
        ({"checksum": "0" * 64}, "checksum", "sha256:HEX"),
        ({"checksum": "md5:" + "0" * 32}, "checksum", "sha256:HEX"),
        ({"checksum": "sha512:" + "0" * 64}, "checksum", "64 digits, and sha512 has 128"),
        ({"checksum": "sha256:" + "X" * 64}, "checksum", "sha256:HEX"),
        ({"checksum": "http://example.org/SUMS"}, "checksum", "https://"),
        ({"box_url": "https://example.org/catalogue"}, "checksum", "ends in .box"),
        ({"image": "one.qcow2"}, "image", "must be a mapping"),
        ({"image": {**IMAGE, "size": "1G"}}, "size", "not known"),
        ({"image": {**IMAGE, "path": "/x.qcow2"}}, "url", "exactly one"),
        ({"image": {"checksum": IMAGE["checksum"]}}, "url", "exactly one"),
        ({"image": {"url": IMAGE["url"]}}, "checksum", "is missing"),
        ({"image": {**IMAGE, "url": "http://example.org/x"}}, "url", "https://"),
        ({"image": {"build": "x.sh", "checksum": "sha256:" + "0" * 64}}, "checksum", "built here"),
        ({"image": {**IMAGE, "disk": "10"}}, "disk", "like 10G"),
        ({"image": {**IMAGE, "accel": "hvf"}}, "accel", "auto, kvm, tcg"),
    ],
    ids=str,
)
def test_mistake_is_named(
    change: dict[str, object], key: str, complaint: str, tmp_path: Path
) -> None:
    file = written(tmp_path, {**GOOD, **change})
    with pytest.raises(VMError) as caught:
        load(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: machine ")
    assert f"'{key}'" in text
    assert complaint in text
    if "name" not in change:
        assert "machine 'one'" in text


@pytest.mark.parametrize("key", ["name", "system", "release", "memory", "cpus", "box_url"])
def test_missing_key_is_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(VMError, match=f"key '{key}': is missing"):
        load(written(tmp_path, without(key)))


def test_box_from_a_file_needs_its_checksum(tmp_path: Path) -> None:
    with pytest.raises(VMError, match="key 'checksum': is missing"):
        load(written(tmp_path, without("checksum")))


def test_box_keys_without_a_box(tmp_path: Path) -> None:
    with pytest.raises(VMError, match="key 'box_url': belongs to a box"):
        load(written(tmp_path, without("box")))


def test_machine_without_any_way_to_run(tmp_path: Path) -> None:
    keys = ("name", "system", "release", "memory", "cpus")
    with pytest.raises(VMError, match="key 'image': is missing, and so is box"):
        load(written(tmp_path, {key: GOOD[key] for key in keys}))


def test_name_that_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(VMError, match="machine 'one', key 'name': is there twice"):
        load(written(tmp_path, GOOD, GOOD))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("machines: [", "not YAML"),
        ("", "must be a mapping"),
        ("- name: one", "a list, and must be a mapping"),
        ("machines: {one: 1}", "must be a list of machines"),
        ("machines: []", "must be a list of machines"),
        ("machines: [one]", "machine number 1: is the text 'one', and must be a mapping"),
        ("machines: [{name: a}]\nboxes: []", "key 'boxes': is not known"),
    ],
)
def test_file_that_is_no_list_of_machines(text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "machines.yml"
    file.write_text(text)
    with pytest.raises(VMError) as caught:
        load(file)
    assert str(file) in str(caught.value)
    assert complaint in str(caught.value)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VMError, match=r"absent\.yml: No such file"):
        load(tmp_path / "absent.yml")


def test_unknown_machine_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    machines = load(written(tmp_path, GOOD))
    with pytest.raises(VMError, match="no machine 'two'") as caught:
        select(machines, ["one", "two"])
    assert "one" in caught.value.advice


def test_our_machines_are_two_of_each_system_and_the_one_built_here() -> None:
    machines = load()
    systems = [machine.system for machine in machines.values()]
    assert (systems.count("freebsd"), systems.count("debian")) == (2, 3)
    assert all(machine.image is not None for machine in machines.values())
    for name in ("freebsd14", "freebsd15", "debian12", "debian13"):
        assert machines[name].box is not None


def test_packages_name_no_version_of_python() -> None:
    for machine in load().values():
        assert not [p for p in machine.packages if p.startswith("py3") and p[2:5].isdigit()]


def test_every_machine_has_a_tox_environment_and_every_provisioning_its_script() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    named = ",".join(section.partition(":")[2] for section in tox.sections())
    environments = set(named.replace("{", "").replace("}", "").split(","))
    for machine in load().values():
        assert machine.name in environments
        assert (ROOT / "vm" / "provision" / f"{machine.system}.sh").exists()
        if machine.image is not None and machine.image.build is not None:
            assert (ROOT / "vm" / "images" / machine.image.build).exists()
