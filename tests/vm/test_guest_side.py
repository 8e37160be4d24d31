"""The seed of a guest's first boot, and the scripts that run in a guest."""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pycdlib
import pytest
import yaml

from tests.project._tree import ROOT
from vm.guest import wheelhouse
from vm.images.seed import user_data, write_seed
from vm.systems import SYSTEMS

SCRIPTS = sorted((ROOT / "vm").rglob("*.sh"))
KEY = "ssh-ed25519 AAAA comment"


def script(name: str) -> str:
    return str(ROOT / "vm" / "provision" / name)


def programs(tmp_path: Path, **bodies: str) -> dict[str, str]:
    """Make fake programs which record their arguments, and an environment that finds them."""
    for name, body in bodies.items():
        write_program(tmp_path / name.replace("_", "-"), body, tmp_path)
    return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}


def write_program(path: Path, body: str, home: Path) -> None:
    path.write_text(f'#!/bin/sh\necho "{path.name} $*" >>"{home}/calls"\n{body}\n')
    path.chmod(0o755)


def run(env: dict[str, str], name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", script(name), *arguments], env=env, capture_output=True, text=True, check=False
    )


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def test_there_are_scripts() -> None:
    assert {"freebsd.sh", "debian.sh", "suite.sh"} <= {path.name for path in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_script_is_plain_sh(path: Path) -> None:
    subprocess.run(["sh", "-n", path], check=True)
    assert path.read_text().startswith("#!/bin/sh\n")


def shellcheck() -> str | None:
    beside = Path(sysconfig.get_path("scripts")) / "shellcheck"
    return str(beside) if beside.exists() else shutil.which("shellcheck")


@pytest.mark.skipif(shellcheck() is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_shellcheck_finds_nothing(path: Path) -> None:
    done = subprocess.run(
        [str(shellcheck()), "--shell=sh", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_seed_disk_has_the_label_and_the_files_that_first_boot_looks_for(tmp_path: Path) -> None:
    write_seed(tmp_path / "seed.iso", "one", KEY, SYSTEMS["freebsd"])
    assert [path.name for path in tmp_path.iterdir()] == ["seed.iso"]
    iso = pycdlib.PyCdlib()
    iso.open(str(tmp_path / "seed.iso"))
    try:
        assert iso.pvd.volume_identifier.strip() == b"cidata"
        meta = io.BytesIO()
        iso.get_file_from_iso_fp(meta, rr_path="/meta-data")
        assert yaml.safe_load(meta.getvalue())["local-hostname"] == "one"
        user = io.BytesIO()
        iso.get_file_from_iso_fp(user, joliet_path="/user-data")
        assert user.getvalue().decode() == user_data(KEY, SYSTEMS["freebsd"])
    finally:
        iso.close()


@pytest.mark.parametrize("name", SYSTEMS)
def test_seed_lets_in_by_key_only(name: str) -> None:
    system = SYSTEMS[name]
    text = user_data(KEY, system)
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    assert config["ssh_pwauth"] is False
    roots = set() if system.root_prefix else {"root"}
    assert {user["name"] for user in config["users"]} == {"tester"} | roots
    assert all(user["ssh_authorized_keys"] == [KEY] for user in config["users"])


def test_freebsd_seed_switches_the_updaters_off_where_they_are_read_again() -> None:
    config = yaml.safe_load(user_data(KEY, SYSTEMS["freebsd"]))
    written = {file["path"]: file["content"] for file in config["write_files"]}
    for service in ("firstboot_freebsd_update", "firstboot_pkg_upgrade"):
        assert written[f"/etc/rc.conf.d/{service}"] == f'{service}_enable="NO"\n'
    assert not [path for path in written if path.startswith("/etc/rc.conf.local")]


@pytest.mark.parametrize("name", ["netbsd", "openbsd"])
def test_files_of_cloud_init_on_a_bsd_have_an_owner(name: str) -> None:
    """Its default is root:root, and there is no group root."""
    config = yaml.safe_load(user_data(KEY, SYSTEMS[name]))
    assert {file["owner"] for file in config["write_files"]} == {"root:wheel"}


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("freebsd.sh", "/usr/local"), ("openbsd.sh", "/usr/local"), ("netbsd.sh", "/usr/pkg")],
)
def test_packages_are_found_where_sshds_path_does_not_look(
    name: str, prefix: str, tmp_path: Path
) -> None:
    there, system = tmp_path / "there", tmp_path / "system"
    for directory in (there / "bin", system):
        directory.mkdir(parents=True)
    write_program(there / "bin" / "python3", "echo Python 3.12.9", tmp_path)
    for program in ("pkg", "pkg_info", "sysctl"):
        write_program(system / program, "", tmp_path)
    moved = tmp_path / name
    moved.write_text(Path(script(name)).read_text().replace(f"{prefix}/", f"{there}/"))
    shell = str(shutil.which("sh"))
    command = [shell, str(moved), "python3"]
    env = {"PATH": str(system), "HOME": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Python 3.12.9\n"), done.stderr


def test_suite_finds_the_guests_python_where_sshds_path_does_not_look(tmp_path: Path) -> None:
    (tmp_path / "there" / "bin").mkdir(parents=True)
    write_program(tmp_path / "there" / "bin" / "python3", "echo 3.12", tmp_path)
    moved = tmp_path / "suite.sh"
    text = Path(script("suite.sh")).read_text()
    moved.write_text(text.replace("/usr/local/", f"{tmp_path}/there/"))
    command = [str(shutil.which("sh")), str(moved), "python"]
    env = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    assert subprocess.check_output(command, env=env, text=True) == "3.12\n"


def test_freebsd_names_packages_after_its_own_python(tmp_path: Path) -> None:
    env = programs(
        tmp_path,
        pkg='[ "$1" = install ] || exit 1',
        python3='case "$*" in *-c*) echo 312;; *) echo Python 3.12.9;; esac',
        sysctl="",
    )
    done = run(env, "freebsd.sh", "python3", "py{python}-sqlite3")
    assert done.returncode == 0, done.stderr
    installs = [line for line in calls(tmp_path) if "install" in line]
    assert installs == ["pkg install -y python3", "pkg install -y py312-sqlite3"]
    assert done.stdout.endswith("Python 3.12.9\n")


def test_freebsd_without_network(tmp_path: Path) -> None:
    env = programs(tmp_path, pkg="exit 1", python3="echo 312", sysctl="")
    done = run(env, "freebsd.sh", "python3")
    assert done.returncode == 3
    assert "pkg cannot get what is missing (python3)" in done.stderr


def test_debian_with_all_packages_does_not_call_apt(tmp_path: Path) -> None:
    env = programs(tmp_path, dpkg_query="printf installed", apt_get="", python3="")
    assert run(env, "debian.sh", "gcc", "rsync").returncode == 0
    assert not [line for line in calls(tmp_path) if line.startswith("apt-get")]


def test_debian_installs_what_is_missing_and_no_more(tmp_path: Path) -> None:
    env = programs(
        tmp_path, dpkg_query='[ "$4" != gcc ] || printf installed', apt_get="", python3=""
    )
    assert run(env, "debian.sh", "gcc", "sysstat").returncode == 0
    assert calls(tmp_path)[-2] == "apt-get install -y -q --no-install-recommends sysstat"


def test_debian_without_network(tmp_path: Path) -> None:
    env = programs(tmp_path, dpkg_query="exit 1", apt_get="exit 100", python3="")
    done = run(env, "debian.sh", "gcc")
    assert done.returncode == 3
    assert "cannot get gcc" in done.stderr


@pytest.mark.parametrize(
    ("apt", "environment", "wanted"),
    [
        ("echo http://own.example/debian {own} main", {}, "http://own.example/debian"),
        ("exit 1", {"DEBIAN_MIRROR": "http://named.example"}, "http://named.example"),
        ("echo http://own.example/debian elsewhere main", {}, None),
    ],
    ids=["the machine's own", "named by the variable", "none"],
)
def test_debian_image_is_built_from_the_machines_own_archive(
    apt: str, environment: dict[str, str], wanted: str | None, tmp_path: Path
) -> None:
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "sid")
    env = programs(tmp_path, apt_get=apt.format(own=release), mmdebstrap="exit 1", id="echo 0")
    for tool in ("mke2fs", "qemu-img"):
        write_program(tmp_path / tool, "", tmp_path)
    command = ["sh", f"{ROOT}/vm/images/debian.sh", "12", f"{tmp_path}/image"]
    done = subprocess.run(
        command, env={**env, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    asked = [line.split()[-1] for line in calls(tmp_path) if line.startswith("mmdebstrap")]
    assert asked == ([] if wanted is None else [wanted])
    assert ("name one in DEBIAN_MIRROR" in done.stderr) == (wanted is None)


class Guest:
    """A home directory as the host leaves it before suite.sh runs."""

    def __init__(self, home: Path, tox: str) -> None:
        self.home = home
        self.base = home / "mogvm"
        for part in ("src/.tox/py/bin", "dist", "venv/bin"):
            (self.base / part).mkdir(parents=True)
        (self.base / "dist" / "mogstored-1-py3-none-any.whl").touch()
        self._program("venv/bin/tox", f'echo "$PIP_NO_INDEX" >"{home}/index"\n{tox}')
        self._program("src/.tox/py/bin/python", 'case "$*" in *find_spec*) exit 1;; esac')

    def _program(self, name: str, body: str) -> None:
        write_program(self.base / name, body, self.home)

    def with_probe(self) -> None:
        self._program("src/.tox/py/bin/python", "")

    def suite(self, *arguments: str) -> int:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        return subprocess.Popen(
            ["sh", script("suite.sh"), *arguments], env=env, start_new_session=True
        ).wait()


def test_suite_runs_the_hosts_tox_environment_on_the_hosts_wheel(tmp_path: Path) -> None:
    guest = Guest(tmp_path, "exit 0")
    assert guest.suite("--timeout=1800", "-k", "one thing") == 0
    wheel = guest.base / "dist" / "mogstored-1-py3-none-any.whl"
    junit = guest.base / "out" / "junit.xml"
    assert calls(tmp_path)[0] == (
        f"tox run -e py --installpkg {wheel} -- --junitxml={junit} --timeout=1800 -k one thing"
    )
    assert not (guest.base / "running").exists()


def test_status_of_the_suite_is_returned(tmp_path: Path) -> None:
    assert Guest(tmp_path, "exit 7").suite() == 7


def test_probe_is_run_where_the_wheel_has_one(tmp_path: Path) -> None:
    guest = Guest(tmp_path, "exit 0")
    assert guest.suite() == 0
    assert not [line for line in calls(tmp_path) if "--json" in line]
    guest.with_probe()
    assert guest.suite() == 0
    assert calls(tmp_path)[-1] == f"python -P -m mogpoll --json {guest.base}/out/probe.json"


@pytest.mark.parametrize(("is_offline", "index"), [(True, "1\n"), (False, "\n")])
def test_offline_guest_asks_no_index(is_offline: bool, index: str, tmp_path: Path) -> None:
    guest = Guest(tmp_path, "exit 0")
    if is_offline:
        (guest.base / "house").mkdir()
    assert guest.suite() == 0
    assert (tmp_path / "index").read_text() == index


def test_run_that_the_host_lost_is_ended(tmp_path: Path) -> None:
    guest = Guest(tmp_path, "exit 0")
    lost = subprocess.Popen(["sleep", "600"], start_new_session=True)
    (guest.base / "running").write_text(f"{lost.pid}\n")
    assert guest.suite("stop") == 0
    assert lost.wait(20) != 0
    assert not (guest.base / "running").exists()


def test_freebsd_gets_sources_of_compiled_packages_and_pure_wheels_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(wheelhouse, "_pip", lambda *words: asked.append(words))
    wheelhouse.gather("freebsd", "3.12", tmp_path / "house")
    _, sources, wheels = asked
    assert {"--no-binary", "httptools", "psutil", "PyYAML", "setproctitle"} <= set(sources)
    assert wheels[wheels.index("--only-binary") :][:2] == ("--only-binary", ":all:")
    assert wheels[wheels.index("--platform") + 1] == "any"
    needs = {"prometheus-client>=0.16", "python-json-logger>=2.0.1"}
    assert {"hypothesis<=6.155.7", *needs} <= set(wheels)
    assert not [word for word in wheels if word.lower().startswith(("psutil", "pyyaml"))]
