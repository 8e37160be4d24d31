"""The systemd units: valid, strict, and sufficient for everything that a node does."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.project._tree import ROOT
from tests.support import sandbox
from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.processes import is_gone
from tests.support.service_manager import ServiceManager
from tests.support.sidechannel import manage
from tests.support.upgrades import Generations, free_address
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEMD = ROOT / "packaging" / "systemd"
SERVICE, SOCKET = SYSTEMD / "mogstored.service", SYSTEMD / "mogstored.socket"
UPGRADE = SYSTEMD / "mogstored-upgrade"
# Of 10, which stands for no protection.
MAX_EXPOSURE = 3.0


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed")


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """Copy the units, with programs in place of those that are not installed here."""
    copies = []
    for unit in (SERVICE, SOCKET):
        text = re.sub(r"/opt/mogstored/\S+", sys.executable, unit.read_text())
        copy = tmp_path / unit.name
        copy.write_text(text)
        copies.append(str(copy))
    return copies


@needs("systemd-analyze")
def test_units_are_well_made(units: list[str]) -> None:
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    # Faults of the machine's other units do not count.
    ours = [line for line in verified.stderr.splitlines() if "mogstored" in line]
    assert ours == []


@needs("systemd-analyze")
def test_service_is_tight(units: list[str]) -> None:
    asked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", units[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized option" in asked.stderr:
        pytest.skip("this systemd-analyze looks at running services only")
    level = re.search(r"exposure level for mogstored.service: ([0-9.]+)", asked.stdout)
    assert level is not None, asked.stdout + asked.stderr
    assert float(level[1]) < MAX_EXPOSURE


def test_service_and_socket_and_example_agree_on_ports() -> None:
    listed = sandbox.directives(str(SOCKET))["ListenStream"]
    assert listed == ["0.0.0.0:7500", "0.0.0.0:7501"]


def test_docroot_may_be_written() -> None:
    unit = sandbox.directives(str(SERVICE))
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["ReadWritePaths"] == unit["RequiresMountsFor"] == ["/var/mogdata"]


def test_user_and_docroot_are_those_of_the_unit() -> None:
    unit = sandbox.directives(str(SERVICE))
    user = (SYSTEMD / "sysusers.conf").read_text().splitlines()[-1]
    folder = (SYSTEMD / "tmpfiles.conf").read_text().splitlines()[-1]
    (name,), (docroot,) = unit["User"], unit["ReadWritePaths"]
    assert unit["Group"] == [name]
    assert re.fullmatch(rf'u {name} - "[^"]+" {docroot}', user)
    assert folder == f"d {docroot} :0755 :{name} :{name} -"


def test_options_may_come_from_the_environment() -> None:
    unit = sandbox.directives(str(SERVICE))
    assert unit["EnvironmentFile"] == ["-/etc/default/mogstored"]
    assert unit["Environment"] == ["MOGSTORED_OPTIONS="]
    assert unit["ExecStart"][0].endswith(" $MOGSTORED_OPTIONS")


@needs("systemd-tmpfiles")
@needs("systemd-sysusers")
def test_user_and_docroot_are_made_and_a_docroot_that_is_there_is_left_alone(
    tmp_path: Path,
) -> None:
    if os.geteuid():
        pytest.skip("only root makes users")
    (tmp_path / "etc").mkdir()

    def make() -> tuple[int, int]:
        for tool, name in (("systemd-sysusers", "sysusers"), ("systemd-tmpfiles", "tmpfiles")):
            command = [tool, f"--root={tmp_path}", str(SYSTEMD / f"{name}.conf")]
            command[1:1] = ["--create"] if name == "tmpfiles" else []
            subprocess.run(command, check=True, capture_output=True)
        status = (tmp_path / "var" / "mogdata").stat()
        return status.st_uid, status.st_mode & 0o777

    uid, mode = make()
    assert f"mogstored:x:{uid}:" in (tmp_path / "etc" / "passwd").read_text()
    assert mode == 0o755
    os.chown(tmp_path / "var" / "mogdata", 4321, -1)
    (tmp_path / "var" / "mogdata").chmod(0o750)
    assert make() == (4321, 0o750)


# The sandbox.

_WHY_NOT = sandbox.why_not()
in_sandbox = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))
WRAPPER = [sys.executable, sandbox.__file__, str(SERVICE)]


@in_sandbox
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("os.chroot('/')", "PermissionError"),
        ("os.chown('/tmp', 0, 0)", "PermissionError"),
        ("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "OSError"),
        ("mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", "PermissionError"),
    ],
)
def test_sandbox_refuses_what_a_node_never_does(code: str, error: str) -> None:
    program = f"import mmap, os, socket; {code}"
    done = subprocess.run(
        [*WRAPPER, sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1].startswith(error)


@in_sandbox
def test_node_works_in_the_sandbox() -> None:
    with Node(mgmt=True, wrapper=WRAPPER, maxconns=64) as node:
        with Client(node.http) as client:
            put = compose("PUT", "/dev1/a/b", "Content-Length: 5") + b"hello"
            assert client.request(put).status == 201
            assert client.request(compose("GET", "/dev1/a/b")).body == b"hello"
            assert client.request(compose("DELETE", "/dev1/a/b")).status == 204
            usage = client.request(compose("GET", "/dev1/usage"))
            assert b"disk: " in usage.body
        node.path("/dev1/c").write_bytes(b"")
        with manage(node) as manager:
            # Lowers its I/O priority.
            answer = manager.ask(b"MD5 /dev1/c fsck")
            assert answer == b"/dev1/c MD5=d41d8cd98f00b204e9800998ecf8427e\r\n"


@in_sandbox
@pytest.mark.skipif(not psutil.disk_io_counters(perdisk=True), reason="no disk is counted here")
def test_disks_are_sampled_in_the_sandbox() -> None:
    asked = (
        "from mogstored.utilization.busy_time import LinuxCounters; print(len(LinuxCounters()()))"
    )
    done = subprocess.run(
        [*WRAPPER, sys.executable, "-P", "-c", asked], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 0


@in_sandbox
@pytest.mark.skipif(sys.platform != "linux", reason="I/O priorities are Linux's")
def test_io_priority_is_lowered_in_the_sandbox() -> None:
    asked = """
from mogpoll import lowered_io_priority
from mogpoll.system.iopriority import _system_calls
_, get_priority = _system_calls() or (None, lambda *_: 7)
with lowered_io_priority():
    print(get_priority(1, 0) & 7)
"""
    done = subprocess.run(
        [*WRAPPER, sys.executable, "-P", "-c", asked], capture_output=True, text=True, check=True
    )
    assert done.stdout == "7\n"


@in_sandbox
def test_command_in_place_of_iostat_runs_in_the_sandbox() -> None:
    command = "sh -c 'while printf \"a 1\\n\\n\"; do sleep 0.05; done'"
    env = {"MOG_IOSTAT_CMD": command}
    with Node(mgmt=True, wrapper=WRAPPER, env=env) as node, manage(node) as manager:
        manager.send(b"watch\n")
        assert len(manager.read_block()) == 2


@in_sandbox
def test_node_is_upgraded_in_the_sandbox() -> None:
    addr = free_address()
    listen = ["--httplisten", f"{addr[0]}:{addr[1]}", "--worker-processes=1"]
    with Node(http=False, extra=listen, wrapper=WRAPPER, checked=False) as node:
        found = Generations(node, addr, None)
        try:
            found.retire(found.upgrade())
            with Client(addr) as client:
                assert client.request(compose("GET", "/")).status == 200
        finally:
            found.end()


# Sockets that systemd opens.


@needs("systemd-socket-activate")
def test_node_takes_the_sockets_of_systemd(tmp_path: Path) -> None:
    (tmp_path / "dev1").mkdir()
    http, mgmt = (f"{host}:{port}" for host, port in (free_address(), free_address()))
    command = [sys.executable, "-P", "-m", "mogstored", "--docroot", str(tmp_path)]
    command += ["--httplisten", http, "--mgmtlisten", mgmt]
    activator = subprocess.Popen(
        ["systemd-socket-activate", "-l", http, "-l", mgmt, *command],
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    try:
        host, _, port = http.partition(":")
        wait_until(lambda: _connects((host, int(port))), "the first connection is queued")
        with Client((host, int(port))) as client:
            assert client.request(compose("GET", "/")).status == 200
    finally:
        activator.send_signal(signal.SIGTERM)
        _, log = activator.communicate(timeout=PATIENCE_S)
    assert {f"inherited {addr}" for addr in (http, mgmt)} <= set(re.findall(r"inherited \S+", log))


def _connects(address: tuple[str, int]) -> bool:
    try:
        Client(address).close()
    except ConnectionRefusedError:
        return False
    return True


# Reloading.


@pytest.fixture
def systemctl(tmp_path: Path) -> Iterator[ServiceManager]:
    """A fake systemd: receives MAINPID, and `systemctl` shows it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    main_pid = folder / "MainPID"
    fake = folder / "systemctl"
    fake.write_text(
        f'#!/bin/sh\n[ "$*" = "show --property MainPID --value u" ] && cat {main_pid}\n'
    )
    fake.chmod(0o755)
    with ServiceManager(str(tmp_path / "notify")) as manager:
        yield manager


def write_main_pid(manager: ServiceManager, main_pid: Path, stop: threading.Event) -> None:
    while not stop.is_set():
        manager.is_silent(0.05)
        for message in manager.received:
            if found := re.search(r"^MAINPID=(\d+)$", message, re.MULTILINE):
                main_pid.write_text(found[1])


def reload_node(
    manager: ServiceManager, old: int, patience_s: int = 15
) -> subprocess.CompletedProcess[str]:
    """Run the command of ExecReload, while the service manager listens."""
    folder = Path(manager.name).parent / "bin"
    (folder / "MainPID").write_text(str(old))
    stop = threading.Event()
    listener = threading.Thread(target=write_main_pid, args=(manager, folder / "MainPID", stop))
    listener.start()
    path = f"{folder}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "MOGSTORED_UPGRADE_S": str(patience_s)}
    try:
        return subprocess.run(
            ["/bin/sh", UPGRADE, str(old), "u"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        stop.set()
        listener.join()


def test_reload_replaces_the_process(systemctl: ServiceManager) -> None:
    addr = free_address()
    listen = ["--httplisten", f"{addr[0]}:{addr[1]}"]
    env = {"NOTIFY_SOCKET": systemctl.name}
    with Node(http=False, extra=listen, env=env, checked=False) as node:
        found = Generations(node, addr, None)
        try:
            done = reload_node(systemctl, node.pid)
            # First, so that it ends also after a failed reload.
            found.all += found.numbers("upgrade started: process")
            assert (done.returncode, done.stderr) == (0, "")
            wait_until(lambda: is_gone(found.all[0]), "the old process has ended")
            assert not is_gone(found.all[1])
        finally:
            found.end()


def test_reload_fails_and_the_node_goes_on_when_the_new_one_cannot_start(
    systemctl: ServiceManager, tmp_path: Path
) -> None:
    config = tmp_path / "node.conf"
    config.write_text("maxconns = 100\n")
    env = {"NOTIFY_SOCKET": systemctl.name}
    with Node(extra=["--config", str(config)], env=env) as node:
        config.write_text("maxconns = many\n")
        done = reload_node(systemctl, node.pid, patience_s=1)
        assert (done.returncode, done.stderr.split(";")[0]) == (
            1,
            f"process {node.pid} has no successor that serves",
        )
        with Client(node.http) as client:
            assert client.request(compose("GET", "/")).status == 200


@needs("shellcheck")
def test_script_is_clean() -> None:
    done = subprocess.run(["shellcheck", UPGRADE], capture_output=True, text=True, check=False)
    assert done.stdout == ""
