"""machines.yml: its machines, and errors that name the machine and the key."""

from __future__ import annotations

import configparser
import datetime
import re
from pathlib import Path

import pytest
import yaml

from tests.project._tree import ROOT
from vm.end_of_life import warnings
from vm.errors import VMError
from vm.machines import find, load, select
from vm.systems import SYSTEMS

GOOD = {
    "name": "one",
    "system": "freebsd",
    "release": "14.4",
    "end_of_life": datetime.date(2026, 12, 31),
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


def complaint_of(file: Path) -> str:
    """Return what is wrong with the only machine of a file."""
    machines = load(file)
    assert machines == {}
    (error,) = machines.broken.values()
    return str(error)


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
        ({"system": "plan9"}, "system", "one of: debian, freebsd"),
        ({"release": 14.4}, "release", "the number 14.4, and must be text; quote it"),
        ({"release": 15}, "release", "quote it"),
        ({"release": " "}, "release", "is empty"),
        ({"release": None}, "release", "has no value"),
        ({"end_of_life": "2026-12-31"}, "end_of_life", "a day like"),
        ({"suite": 7}, "suite", "must be text"),
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
    text = complaint_of(file)
    assert text.startswith(f"{file}: machine ")
    assert f"'{key}'" in text
    assert complaint in text
    if "name" not in change:
        assert "machine 'one'" in text


@pytest.mark.parametrize("key", ["name", "system", "release", "memory", "cpus", "box_url"])
def test_missing_key_is_named(key: str, tmp_path: Path) -> None:
    assert f"key '{key}': is missing" in complaint_of(written(tmp_path, without(key)))


def test_box_from_a_file_needs_its_checksum(tmp_path: Path) -> None:
    file = written(tmp_path, without("checksum"))
    assert "key 'checksum': is missing" in complaint_of(file)


def test_box_keys_without_a_box(tmp_path: Path) -> None:
    assert "key 'box_url': belongs to a box" in complaint_of(written(tmp_path, without("box")))


def test_machine_without_any_way_to_run(tmp_path: Path) -> None:
    keys = ("name", "system", "release", "end_of_life", "memory", "cpus")
    file = written(tmp_path, {key: GOOD[key] for key in keys})
    assert "key 'image': is missing, and so is box" in complaint_of(file)


def test_name_that_is_there_twice(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD, GOOD, GOOD)
    assert "machine 'one', key 'name': is used twice" in complaint_of(file)


def test_wrong_entry_stops_no_other_machine(tmp_path: Path) -> None:
    file = written(tmp_path, {**GOOD, "memory": 1}, {**GOOD, "name": "two"}, "three")
    machines = load(file)
    assert list(machines) == ["two"]
    assert find(machines, "two").release == "14.4"
    assert list(machines.broken) == ["one", "number 3"]
    select(machines, ["one", "two"])
    with pytest.raises(VMError, match="machine 'one', key 'memory'"):
        find(machines, "one")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("machines: [", "not YAML"),
        ("", "must be a mapping"),
        ("- name: one", "a list, and must be a mapping"),
        ("machines: {one: 1}", "must be a list of machines"),
        ("machines: []", "must be a list of machines"),
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
    assert machines.broken == {}
    systems = [machine.system for machine in machines.values()]
    assert [systems.count(each) for each in ("freebsd", "debian", "openbsd")] == [2, 3, 1]
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


def test_every_system_has_its_provisioning() -> None:
    assert {path.stem for path in (ROOT / "vm" / "provision").iterdir()} == {*SYSTEMS, "suite"}


@pytest.mark.parametrize(
    ("today", "verbs"),
    [
        (datetime.date(2026, 11, 1), []),
        (datetime.date(2026, 12, 2), ["ends"]),
        (datetime.date(2026, 12, 31), ["ends"]),
        (datetime.date(2027, 1, 1), ["ended"]),
    ],
    ids=str,
)
def test_release_past_its_end_of_life_is_named(
    today: datetime.date, verbs: list[str], tmp_path: Path
) -> None:
    later = {**GOOD, "name": "two", "end_of_life": datetime.date(2030, 1, 1)}
    machines = load(written(tmp_path, GOOD, later))
    found = warnings(machines.values(), today)
    assert found == [
        f"one: support of freebsd 14.4 {verb} on 2026-12-31; "
        "vm/machines.yml should name a newer release"
        for verb in verbs
    ]


def test_every_one_of_our_releases_ends() -> None:
    """A given day, so that the suite stays green while `vm list` begins to warn."""
    machines = load()
    assert len(warnings(machines.values(), datetime.date(2040, 1, 1))) == len(machines)
    assert warnings(machines.values(), datetime.date(2026, 11, 30)) == []


def test_examples_of_the_document_are_good(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "vm.md").read_text()
    (example,) = re.findall(r"```yaml\n(  - name:.*?)```", text, re.DOTALL)
    file = tmp_path / "machines.yml"
    file.write_text("machines:\n" + example.replace("sha256:...", "sha256:" + "0" * 64))
    machines = load(file)
    assert (list(machines), machines.broken) == (["netbsd10"], {})
