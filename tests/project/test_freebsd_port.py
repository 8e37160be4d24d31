"""The FreeBSD ports: filled in from sdists, complete; the node's rc script works."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import mogstored
from tests.project._tree import ROOT
from tests.project.test_distributions import built
from tests.project.test_makefile import MAKES, make
from tests.support.http import Client, compose
from tests.support.processes import is_gone
from tests.support.upgrades import free_address
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

FREEBSD = ROOT / "packaging" / "freebsd"
SKELETON = FREEBSD / "py-mogstored"
RC_SCRIPT = SKELETON / "files" / "mogstored.in"
SUBR = ROOT / "tests" / "support" / "rc.subr"

# The ports of the node's dependencies (freshports.org).
ORIGINS = {
    "hatchling": "devel/py-hatchling",
    "mogpoll": "devel/py-mogpoll",
    "httptools": "www/py-httptools",
    "prometheus-client": "net-mgmt/py-prometheus-client",
    "psutil": "sysutils/py-psutil",
    "python-json-logger": "devel/py-python-json-logger",
    "setproctitle": "devel/py-setproctitle",
}


def variable(name: str, text: str) -> str:
    """Return the value of a make variable, its lines joined."""
    (value,) = re.findall(rf"^{name}=[ \t]*((?:.*\\\n)*.*)", text, re.MULTILINE)
    return " ".join(str(value).replace("\\\n", " ").split())


# The output of `make port`.


NAMES = {"mogpoll": "devel", "mogstored": "sysutils"}


@pytest.fixture(scope="module")
def sdists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("sdists")
    built(into)
    return into


@pytest.fixture(params=MAKES)
def ports(request: pytest.FixtureRequest, sdists: Path, tmp_path: Path) -> Path:
    """Make the ports by each make that is here, from a copy of what is needed for that."""
    folder = tmp_path / "packaging" / "freebsd"
    shutil.copytree(FREEBSD, folder)
    made = make(request.param, folder, "port", f"SDISTS={sdists}", f"PYTHON={sys.executable}")
    assert made.returncode == 0, made.stdout
    return tmp_path / "dist" / "freebsd"


def sdist_of(name: str, sdists: Path) -> Path:
    return sdists / f"{name}-{mogstored.__version__}.tar.gz"


@pytest.mark.parametrize(("name", "category"), NAMES.items())
def test_ports_are_filled_in(name: str, category: str, ports: Path, sdists: Path) -> None:
    port, sdist = ports / category / f"py-{name}", sdist_of(name, sdists)
    makefile = (port / "Makefile").read_text()
    assert variable("DISTVERSION", makefile) == mogstored.__version__
    time, *rest = (port / "distinfo").read_text().splitlines()
    assert re.fullmatch(r"TIMESTAMP = \d{10}", time)
    content = sdist.read_bytes()
    assert rest == [
        f"SHA256 ({sdist.name}) = {hashlib.sha256(content).hexdigest()}",
        f"SIZE ({sdist.name}) = {len(content)}",
    ]
    assert (ports.parent / sdist.name).read_bytes() == content
    assert not [path for path in port.rglob("*") if re.search(r"@[A-Z]+@", path.name)]
    assert "@" not in re.sub(r"@(\$\{PY_FLAVOR\}|FreeBSD\.org)", "", makefile)


def test_ports_are_complete(ports: Path) -> None:
    made = {path.relative_to(ports).as_posix() for path in ports.rglob("*") if path.is_file()}
    both = ("Makefile", "distinfo", "pkg-descr")
    files = ("mogstored.in", "mogstored.conf.sample", "pkg-message.in")
    assert made == {
        *(f"devel/py-mogpoll/{name}" for name in both),
        *(f"sysutils/py-mogstored/{name}" for name in (*both, "pkg-plist", "UIDs", "GIDs")),
        *(f"sysutils/py-mogstored/files/{name}" for name in files),
    }


@pytest.mark.skipif(not MAKES, reason="no make on this system")
def test_sdists_may_be_where_they_are_kept(sdists: Path, tmp_path: Path) -> None:
    folder, dist = tmp_path / "packaging" / "freebsd", tmp_path / "dist"
    shutil.copytree(FREEBSD, folder)
    shutil.copytree(sdists, dist)
    made = make(MAKES[0], folder, "port", f"SDISTS={dist}", f"PYTHON={sys.executable}")
    assert made.returncode == 0, made.stdout
    assert (dist / "freebsd" / "devel" / "py-mogpoll" / "distinfo").exists()


@pytest.mark.skipif(not MAKES, reason="no make on this system")
def test_file_that_is_no_sdist_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "packaging" / "freebsd"
    shutil.copytree(FREEBSD, folder)
    (tmp_path / "mogpoll-latest.tar.gz").write_bytes(b"")
    made = make(MAKES[0], folder, "port", f"SDISTS={tmp_path}", f"PYTHON={sys.executable}")
    assert made.returncode != 0
    assert "mogpoll-latest.tar.gz is not named like an sdist" in made.stdout


# The contents of the ports.


def requirements(name: str, sdists: Path) -> dict[str, list[str]]:
    """Return what an index's sdist of that name requires, as its metadata has it."""
    with tarfile.open(sdist_of(name, sdists)) as archive:
        file = archive.extractfile(f"{name}-{mogstored.__version__}/pyproject.toml")
        assert file is not None
        whole = tomllib.loads(file.read().decode())
    return {
        "RUN_DEPENDS": whole["project"]["dependencies"],
        "BUILD_DEPENDS": whole["build-system"]["requires"],
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["RUN_DEPENDS", "BUILD_DEPENDS"])
def test_every_dependency_has_its_port(kind: str, name: str, sdists: Path) -> None:
    wanted = [
        f"${{PYTHON_PKGNAMEPREFIX}}{required.replace('==', '>=')}:{ORIGINS[port]}@${{PY_FLAVOR}}"
        for required in requirements(name, sdists)[kind]
        for port in re.findall(r"^[\w-]+", required)
    ]
    makefile = (FREEBSD / f"py-{name}" / "Makefile.in").read_text()
    makefile = makefile.replace("@VERSION@", mogstored.__version__)
    assert (variable(kind, makefile).split() if f"{kind}=" in makefile else []) == sorted(wanted)


def test_python_is_as_new_as_the_node_needs() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    makefile = (SKELETON / "Makefile.in").read_text()
    assert variable("USES", makefile) == f"python:{needed.removeprefix('>=')}+"


def test_what_the_wheel_does_not_install_is_listed() -> None:
    # autoplist lists the files of the wheel, USE_RC_SUBR the rc script, and pkg-plist the rest.
    makefile = (SKELETON / "Makefile.in").read_text()
    assert variable("USE_PYTHON", makefile) == "autoplist pep517"
    assert variable("USE_RC_SUBR", makefile) == "mogstored"
    installed = re.findall(r"\$\{FILESDIR\}/(\S+) \$\{STAGEDIR\}\$\{PREFIX\}/(\S+)", makefile)
    staged = re.findall(r"\$\{MKDIR\} \$\{STAGEDIR\}\$\{(\w+DATA)\}", makefile)
    listed = (SKELETON / "pkg-plist").read_text().splitlines()
    assert listed == [
        *(f"@sample {folder}/{name}" for name, folder in installed),
        *(f"@dir(%%USER%%,%%GROUP%%,755) %%{name}%%" for name in staged),
    ]
    assert all((SKELETON / "files" / name).exists() for name, _ in installed)


def test_examples_are_those_of_the_sdist(sdists: Path) -> None:
    makefile = (SKELETON / "Makefile.in").read_text()
    name = variable("PORTEXAMPLES", makefile)
    assert variable("OPTIONS_DEFINE", makefile) == "EXAMPLES"
    assert f"cd ${{WRKSRC}}/packaging && ${{COPYTREE_SHARE}} {name} ${{STAGEDIR}}" in makefile
    with tarfile.open(sdist_of("mogstored", sdists)) as archive:
        assert any(f"/packaging/{name}/" in path for path in archive.getnames())


@pytest.mark.parametrize("name", NAMES)
def test_shared_data_of_the_wheel_is_where_ports_look(name: str, sdists: Path) -> None:
    # Mk/Uses/python.mk knows share/ below the prefix, and the pages that are compressed.
    (path,) = sdists.glob(f"{name}-*.whl")
    wheel = zipfile.ZipFile(path)
    shared = [name for name in wheel.namelist() if ".data/" in name]
    assert shared
    assert all(re.search(r"\.data/data/share/", name) for name in shared)


@pytest.mark.parametrize("template", ["mogstored.in", "pkg-message.in"])
def test_every_word_in_a_template_is_substituted(template: str) -> None:
    makefile = (SKELETON / "Makefile.in").read_text()
    # PREFIX is always there.
    known = {"PREFIX", *re.findall(r"(\w+)=", variable("SUB_LIST", makefile))}
    used = re.findall(r"%%(\w+)%%", (SKELETON / "files" / template).read_text())
    assert used
    assert set(used) <= known
    named = variable("USE_RC_SUBR", makefile), variable("SUB_FILES", makefile)
    assert template.removesuffix(".in") in named


def test_user_and_group_are_described() -> None:
    makefile = (SKELETON / "Makefile.in").read_text()
    user, group = variable("USERS", makefile), variable("GROUPS", makefile)
    name, _, uid, gid, *rest = (SKELETON / "UIDs").read_text().strip().split(":")
    assert (name, len(rest), rest[-1]) == (user, 6, "/usr/sbin/nologin")
    assert uid == gid
    assert (SKELETON / "GIDs").read_text() == f"{group}:*:{gid}:\n"


@pytest.mark.parametrize("name", NAMES)
def test_description_is_in_the_form_that_portlint_wants(name: str) -> None:
    folder = FREEBSD / f"py-{name}"
    lines = (folder / "pkg-descr").read_text().splitlines()
    assert max(map(len, lines)) <= 80
    comment = variable("COMMENT", (folder / "Makefile.in").read_text())
    assert len(comment) <= 70
    assert re.fullmatch(r"[A-Z].*[^.]", comment)
    assert comment.split()[0] not in {"A", "An", "The"}


@pytest.mark.parametrize("name", NAMES)
def test_makefile_is_in_the_order_that_portlint_wants(name: str) -> None:
    makefile = (FREEBSD / f"py-{name}" / "Makefile.in").read_text()
    names = re.findall(r"^([A-Z_]+)=", makefile, re.MULTILINE)
    order = (
        "PORTNAME DISTVERSION CATEGORIES MASTER_SITES PKGNAMEPREFIX MAINTAINER COMMENT WWW "
        "LICENSE LICENSE_FILE BUILD_DEPENDS RUN_DEPENDS USES USE_PYTHON USE_RC_SUBR "
        "CONFLICTS_INSTALL NO_ARCH SUB_FILES SUB_LIST PLIST_SUB USERS GROUPS MOGDATA "
        "PORTEXAMPLES OPTIONS_DEFINE"
    )
    assert names == [name for name in order.split() if name in names]
    assert variable("CATEGORIES", makefile).split()[0] == NAMES[name]


def test_sample_configuration_is_valid(tmp_path: Path) -> None:
    sample = (SKELETON / "files" / "mogstored.conf.sample").read_text()
    config = tmp_path / "mogstored.conf"
    (tmp_path / "dev1").mkdir()
    config.write_text(sample.replace("/var/mogdata", str(tmp_path)))
    asked = subprocess.run(
        [sys.executable, "-P", "-m", "mogstored", "--config", config, "--check-config"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stderr) == (0, "mogstored: errors: 0, warnings: 0\n")


# The rc script.


def test_rc_script_is_shell() -> None:
    checked = subprocess.run(["sh", "-n", RC_SCRIPT], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say_of_the_rc_script() -> None:
    # Not: rc.subr is not here, it reads our variables, and sh has local variables there.
    checked = subprocess.run(
        ["shellcheck", "-s", "sh", "-e", "SC1091,SC2034,SC3043", RC_SCRIPT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout == ""


class Service:
    """The rc script at work, with a prefix of its own and the stand-in for rc.subr."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.http = free_address()
        self.config = folder / "etc" / "mogstored.conf"
        self.pidfile = folder / "run" / "mogstored.pid"
        self.rc_conf = folder / "rc.conf"
        for name in ("bin", "etc", "data/dev1"):
            (folder / name).mkdir(parents=True)
        self.configure()
        self.rc_conf.write_text("mogstored_enable=YES\nmogstored_upgrade_wait=1\n")
        # As pip and ports install it.
        self.program = folder / "bin" / "mogstored"
        self.program.write_text(
            f"#!{sys.executable}\nimport sys\nfrom mogstored.cli import main\nsys.exit(main())\n"
        )
        self.program.chmod(0o755)
        self.script = folder / "mogstored"
        self.script.write_text(self._filled_in(RC_SCRIPT.read_text()))

    def _filled_in(self, text: str) -> str:
        known = {
            "%%PREFIX%%": str(self._folder),
            "%%PYTHON_CMD%%": sys.executable,
            "%%USER%%": psutil.Process().username(),
            "/etc/rc.subr": str(SUBR),
            "/var/run/mogstored": str(self._folder / "run"),
        }
        for word, value in known.items():
            text = text.replace(word, value)
        return text

    def configure(self, more: str = "") -> None:
        host, port = self.http
        self.config.write_text(
            f"docroot = {self._folder}/data\nhttplisten = {host}:{port}\n{more}\n"
        )

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        with (self._folder / "said").open("w+") as said:
            # Not a pipe: a daemon that did not let go of it would be waited for.
            done = subprocess.run(
                ["sh", self.script, command],
                env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "RC_CONF": str(self.rc_conf)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
            )
            said.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, said.read())

    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def is_led_by(self, pid: int) -> bool:
        """The file is gone for a while in an upgrade, and empty while a process starts."""
        try:
            return self.pidfile.read_text() == f"{pid}\n"
        except FileNotFoundError:
            return False

    def serves(self) -> bool:
        with Client(self.http) as client:
            return client.request(compose("GET", "/")).status == 200

    def kill(self) -> None:
        for process in psutil.process_iter(["cmdline"]):
            if str(self._folder / "bin" / "mogstored") in (process.info["cmdline"] or ()):
                process.send_signal(signal.SIGKILL)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    try:
        yield service
    finally:
        service.kill()


@pytest.fixture
def running(service: Service) -> Service:
    started = service.run("start")
    assert (started.returncode, started.stdout) == (0, "Starting mogstored.\n")
    return service


def test_node_is_started_shown_and_stopped(running: Service) -> None:
    pid = running.pid()
    assert running.serves()
    shown = running.run("status")
    assert (shown.returncode, shown.stdout) == (0, f"mogstored is running as pid {pid}.\n")
    stopped = running.run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "Stopping mogstored.\n")
    assert is_gone(pid)
    assert not running.pidfile.exists()
    shown = running.run("status")
    assert (shown.returncode, shown.stdout) == (1, "mogstored is not running.\n")


def test_node_with_workers_is_known_by_its_master(service: Service) -> None:
    service.rc_conf.write_text("mogstored_enable=YES\nmogstored_flags=--worker-processes=1\n")
    assert service.run("start").returncode == 0
    assert service.run("status").stdout == f"mogstored is running as pid {service.pid()}.\n"
    assert service.run("stop").returncode == 0


def test_node_is_not_started_twice(running: Service) -> None:
    pid = running.pid()
    again = running.run("start")
    assert (again.returncode, running.pid()) == (1, pid)
    assert "already running" in again.stdout


def test_node_that_is_not_enabled_is_not_started(service: Service) -> None:
    service.rc_conf.write_text("")
    assert "Set mogstored_enable to YES" in service.run("start").stdout
    assert not service.pidfile.exists()
    assert service.run("onestart").returncode == 0


def test_start_fails_without_a_configuration(service: Service) -> None:
    service.config.unlink()
    started = service.run("start")
    assert started.returncode == 1
    assert f"{service.config} is not readable" in started.stdout


@pytest.mark.parametrize("command", ["upgrade", "reload"])
def test_node_is_upgraded(running: Service, command: str) -> None:
    old = running.pid()
    done = running.run(command)
    new = running.pid()
    assert (done.returncode, done.stdout) == (
        0,
        f"Upgrading mogstored.\nmogstored is running as pid {new}.\n",
    )
    assert new != old
    wait_until(lambda: is_gone(old), "the old process has ended")
    assert running.serves()
    assert running.run("status").stdout == f"mogstored is running as pid {new}.\n"
    assert running.run("stop").returncode == 0


def test_upgrade_to_a_wrong_configuration_is_not_begun(running: Service) -> None:
    pid = running.pid()
    running.configure("maxconns = many")
    done = running.run("upgrade")
    assert done.returncode == 1
    assert "maxconns" in done.stdout
    assert "Upgrading" not in done.stdout
    assert (running.pid(), running.serves()) == (pid, True)


def test_upgrade_that_fails_leaves_the_node_as_it_was(running: Service) -> None:
    pid = running.pid()
    # A version that passes its check, and does not start.
    program = running.program.read_text()
    broken = program.replace("sys.exit(main())", "sys.exit('--check-config' not in sys.argv)")
    running.program.write_text(broken)
    script = running.script
    script.write_text(script.read_text().replace("patience=30", "patience=3"))
    done = running.run("upgrade")
    assert done.returncode == 1
    assert f"no new process came to serve; pid {pid} goes on" in done.stdout
    wait_until(lambda: running.is_led_by(pid), "the old one leads")
    assert running.serves()
    assert running.run("status").returncode == 0


def test_upgrade_to_an_address_in_use_is_not_begun(running: Service) -> None:
    pid = running.pid()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running.configure(f"mgmtlisten = 127.0.0.1:{taken.getsockname()[1]}")
        done = running.run("upgrade")
    assert done.returncode == 1
    assert "mgmtlisten = 127.0.0.1:" in done.stdout
    assert "Upgrading" not in done.stdout
    assert (running.pid(), running.serves()) == (pid, True)


def test_nothing_is_upgraded_while_nothing_runs(service: Service) -> None:
    done = service.run("upgrade")
    assert (done.returncode, done.stdout) == (1, "mogstored is not running.\n")


def test_configuration_is_tested(service: Service) -> None:
    assert service.run("configtest").returncode == 0
    service.configure("maxconns = many")
    done = service.run("configtest")
    assert done.returncode == 1
    assert f"{service.config}:" in done.stdout
