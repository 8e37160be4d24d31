"""Blocks of the documents with commands for a node, run against a real one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.project._blocks import block
from tests.project._stage import Stage
from tests.project._tree import ROOT
from tests.support.attributes import takes_attributes
from tests.support.daemon import Node
from tests.support.http import ask, compose
from tests.support.processes import is_gone
from tests.support.program import PROGRAM
from tests.support.puts import put
from tests.support.required import needs
from tests.support.rot import store
from tests.support.slow_disk import slow_disk
from tests.support.upgrades import free_address, generations
from tests.support.waiting import PATIENCE_S, wait_until

FILE = "/dev1/0/000/000/0000000001.fid"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that has everything, and has answered requests for two devices."""
    folder = tmp_path_factory.mktemp("log")
    log = [f"--access-log={folder / 'access.log'}", "--access-log-format=json"]
    with Node(mgmt=True, admin=True, extra=log) as node:
        for device in ("dev1", "dev2"):
            assert ask(node.http, put(f"/{device}/file", b"content")).status == 201
        (node.docroot / "access.log").symlink_to(folder / "access.log")
        yield node


def of(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def shape(text: str) -> list[str]:
    """Return lines without what differs from run to run: numbers, dates, digests, blanks."""
    text = re.sub(r"\b[0-9a-f]{32}\b", "DIGEST", text)
    return [" ".join(re.sub(r"[0-9][0-9.:]*", "N", line).split()) for line in text.splitlines()]


def places(stage: Stage, node: Node) -> Stage:
    """Have the addresses and the docroot of the documents lead to a node."""
    stage.addresses = {
        "10.0.0.11:7500": of(node.http),
        "127.0.0.1:7500": of(node.http),
        "10.0.0.11:7502": of(node.admin),
    }
    stage.path("/var").mkdir()
    stage.path("/var/mogdata").symlink_to(node.docroot)
    return stage


# Before a start.


@needs("curl")
def test_production_on_linux(stage: Stage, node: Node) -> None:
    places(stage, node)
    program = stage.path("/opt/mogstored/bin/mogstored")
    program.parent.mkdir(parents=True)
    program.symlink_to(stage.add_program("mogstored", f"{' '.join(PROGRAM)}"))
    text = block("README.md", "# /etc/mogilefs/mogstored.conf").text
    stage.write("/etc/mogilefs/mogstored.conf", re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", text))
    printed = stage.run(block("README.md", "/opt/mogstored/bin/mogstored --config"))
    assert "require_mount = yes\n" in printed
    assert re.search(r"^available: \d+$", printed, re.MULTILINE)


@pytest.mark.skipif(sys.platform != "linux", reason="install of GNU")
def test_files_are_installed(stage: Stage) -> None:
    for name in ("/etc/systemd/system", "/etc/sysusers.d"):
        stage.path(name).mkdir(parents=True)
    stage.run(block("README.md", "python3 -m venv /opt/mogstored"))
    assert stage.path("/var/mogdata/dev1").is_dir()
    for name, source in {
        "/etc/sysusers.d/mogstored.conf": "sysusers.conf",
        "/etc/tmpfiles.d/mogstored.conf": "tmpfiles.conf",
        "/etc/systemd/system/mogstored.service": "mogstored.service",
        "/opt/mogstored/libexec/mogstored-upgrade": "mogstored-upgrade",
    }.items():
        content = (ROOT / "packaging" / "systemd" / source).read_bytes()
        assert stage.path(name).read_bytes() == content
    stage.run(block("docs/operations.md", "mkdir -p /var/mogdata/dev1 /var/mogdata/dev2"))
    assert stage.path("/var/mogdata/dev2").is_dir()


# Usage, state, metrics.


@needs("curl")
def test_usage_of_a_device(stage: Stage, node: Node) -> None:
    ((command, shown),) = block("docs/operations.md", "$ curl http://10.0.0.11:7500").session
    printed = places(stage, node).run_line(command)
    names = [[line.partition(":")[0] for line in text.splitlines()] for text in (printed, shown)]
    assert names[0] == names[1]


@needs("curl", "jq")
def test_status_by_jq(stage: Stage, node: Node) -> None:
    printed = places(stage, node).run(block("docs/status.md", "curl -s http://10.0.0.11:7502"))
    # Both devices are ok, and nothing has waited long.
    assert sorted(line.split()[0] for line in printed.splitlines()) == ["dev1", "dev2"]


@needs("jq")
def test_access_log_by_jq(stage: Stage, node: Node) -> None:
    log = node.docroot / "access.log"
    wait_until(lambda: log.read_text().count("\n") >= 2, "both requests are in the log")
    slow = {**json.loads(log.read_text().splitlines()[0]), "waited_seconds": 2.5}
    (stage.folder / "access.log").write_text(log.read_text() + json.dumps(slow) + "\n")
    printed = stage.run(block("docs/monitoring.md", "jq -r 'select("), cwd=stage.folder)
    assert [line.split() for line in printed.splitlines()] == [["1", "dev1"], ["1", "127.0.0.1"]]


def test_probes_are_answered(node: Node) -> None:
    probes = yaml.safe_load(block("docs/monitoring.md", "livenessProbe:").text)
    paths = [probe["httpGet"]["path"] for probe in probes.values()]
    assert [ask(node.admin, compose("GET", path)).status for path in paths] == [200, 200]


def test_access_log_line(tmp_path: Path) -> None:
    (shown,) = block("docs/operations.md", "10.0.0.7 - - [").text.splitlines()
    log = tmp_path / "access.log"
    with Node(extra=[f"--access-log={log}"]) as node:
        node.write(FILE, bytes(1024))
        assert ask(node.http, compose("GET", FILE, "User-Agent: curl/8.5.0")).status == 200
        wait_until(lambda: log.exists() and log.read_text(), "the request is in the log")
    assert shape(re.sub(r"\w{3}(?=/\d{4})", "MON", log.read_text())) == shape(
        re.sub(r"\w{3}(?=/\d{4})", "MON", shown)
    )


def test_top_of_three_nodes(stage: Stage, node: Node) -> None:
    (_, line) = block("docs/top.md", "pip install").text.splitlines()
    assert block("docs/top.md", "pip install").skipped == ("pip install",)
    for name in ("stor01", "stor02", "stor03"):
        line = line.replace(name, of(node.admin))
    printed = stage.run_line(f"{line} --once --interval=0.1")
    assert re.search(r"dev1.*ok", printed)


# Disks.


def test_scrub(stage: Stage) -> None:
    ((command, shown),) = block("docs/durability.md", "$ mogstored scrub").session
    docroot = stage.path("/var/mogdata")
    for device in ("dev1", "dev2", "dev3", "dev7"):
        (docroot / device).mkdir(parents=True)
    if not takes_attributes(docroot):
        pytest.skip("no extended attributes in the directory of temporary files")
    path = store(docroot / "dev7/0/000/012/0000012345.fid", b"content", "md5")
    with open(path, "r+b") as file:
        file.write(b"C")
    printed = stage.run_line(command, status=1)
    assert shape(printed) == shape(stage.staged(shown))


def test_devices_by_hand(stage: Stage) -> None:
    session = block("docs/operations.md", "$ mogstored device").session
    docroot = stage.path("/var/mogdata")
    for device in ("dev1", "dev2", ".mogstored"):
        (docroot / device).mkdir(parents=True)
    dev2 = {
        "state": "no-writes",
        "cause": "20 write errors in 60 s, last Input/output error (EIO)",
        "since": 1_796_000_000.0,
        "operator": False,
        "wait": 60.0,
        "check_at": 1_796_000_060.0,
        "last_check": "",
    }
    state = json.dumps({"devices": {"dev2": dev2}})
    (docroot / ".mogstored" / "devices.json").write_text(state)
    for command, shown in session:
        assert shape(stage.run_line(command)) == shape(shown), command


def test_disks_are_checked(stage: Stage) -> None:
    ((command, shown),) = block("docs/operations.md", "$ mogstored check-disks").session
    docroot = stage.path("/var/mogdata")
    (docroot / "dev1").mkdir(parents=True)
    with slow_disk(docroot / "dev2") as disk:
        disk.fail(5, "write")
        printed = stage.run_line(command.replace("256M", "1M"), status=1)
        disk.release()
    lines = [shape(text) for text in (printed, shown)]
    assert lines[0] == lines[1]


# Other ways to start, and settings of a running node.


def test_several_services(stage: Stage) -> None:
    (line,) = block("docs/configuration.md", "mogstored --multi").text.splitlines()
    for name in "ab":
        stage.path(f"/srv/{name}/dev1").mkdir(parents=True)
        docroot = stage.path(f"/srv/{name}")
        text = f"docroot = {docroot}\nhttplisten = 127.0.0.1:0\n"
        stage.write(f"/etc/mogilefs/{name}.conf", text)
    words = stage.staged(line).split()
    assert words.pop(0) == "mogstored"
    with Node(http=False, names_docroot=False, extra=words) as node:
        assert len(node.addresses("http")) == 2


def test_settings_of_a_running_node(tmp_path: Path) -> None:
    shown = block("docs/operations.md", "mogstored[1234]: HUP: applied").text.splitlines()
    file = tmp_path / "node.conf"
    file.write_text("log_level = info\n")
    with Node(extra=["--config", str(file)]) as node:
        file.write_text("log_level = debug\nsend_timeout = 30\nworker_processes = 4\n")
        node.send_signal(signal.SIGHUP)
        node.wait_for_log("HUP: unchanged: ")
        said = [line for line in node.stderr_lines() if "HUP: " in line]
    assert [re.sub(r"\[\d+\]", "[1234]", line) for line in said] == shown


@needs("curl")
def test_perl_mogstored_is_replaced(stage: Stage) -> None:
    text = block("docs/migration.md", "# /etc/mogilefs/mogstored.conf").text
    (host, port), (_, other) = free_address(), free_address()
    stage.addresses = {
        "0.0.0.0:7500": f"{host}:{port}",
        "0.0.0.0:7501": f"{host}:{other}",
        "10.0.0.11:7500": f"{host}:{port}",
    }
    stage.path("/var/mogdata/dev1").mkdir(parents=True)
    stage.path("/run").mkdir()
    stage.write("/etc/mogilefs/mogstored.conf", text)
    checked = block("docs/migration.md", "mogstored --config /etc/mogilefs")
    assert "daemonize = yes\n" in stage.run(checked)
    pidfile = stage.path("/run/mogstored.pid")
    try:
        printed = stage.run(block("docs/migration.md", "mogadm host mark store1 down"))
        assert pidfile.exists()
    finally:
        # Without one, no node was started, and that is what failed.
        if pidfile.exists():
            pid = int(pidfile.read_text())
            psutil.Process(pid).terminate()
            wait_until(lambda: is_gone(pid), "the node has ended")
    assert re.search(r"^available: \d+$", printed, re.MULTILINE)


def test_cmogstored_hands_over(stage: Stage) -> None:
    commands = block("docs/migration.md", "install -m 755 /opt/mogstored").text.splitlines()
    for name in ("/opt/mogstored/bin", "/usr/bin", "/run"):
        stage.path(name).mkdir(parents=True)
    stage.path("/opt/mogstored/bin/mogstored").write_text("#!/bin/sh\n")
    stage.run_line(commands[0])
    assert stage.path("/usr/bin/cmogstored").exists()
    # A node in the place of cmogstored, which is not at hand.
    with generations(pidfile=stage.path("/run/cmogstored.pid")) as old:
        stage.run_line(commands[1])
        wait_until(lambda: old.numbers("upgrade started: process"), "an upgrade has begun")
        (new,) = old.numbers("upgrade started: process")
        old.all.append(new)
        old.node.wait_for_log(rf"mogstored\[{new}\]: ready$")
        stage.run_line(commands[2])
        wait_until(lambda: is_gone(old.current), "the old one has ended")
        assert not is_gone(new)


@needs("curl", "make")
def test_make_run(stage: Stage) -> None:
    """In an environment that is there already, and on ports of its own."""
    (line, _) = block("README.md", "make run").text.splitlines()
    words = line.partition("#")[0].split()
    environment = stage.folder / "venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "mogstored").symlink_to(stage.path("programs/mogstored"))
    for name in ("pyvenv.cfg", ".installed"):
        (environment / name).touch()
    (host, port), (_, mgmt), (_, admin) = free_address(), free_address(), free_address()
    settings = [f"VENV={environment}", f"DOCROOT={stage.folder / 'mogdata'}", "PYTHON=false"]
    settings += [f"HTTP={host}:{port}", f"MGMT={host}:{mgmt}", f"ADMIN={host}:{admin}"]
    # Not what an outer make has set.
    clean = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    with subprocess.Popen(
        [*words, *settings],
        cwd=ROOT,
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as make:
        try:
            assert make.stdout is not None
            assert any(line.endswith(": ready\n") for line in make.stdout)
            assert ask((host, port), put(FILE, b"content")).status == 201
        finally:
            for process in [*psutil.Process(make.pid).children(), psutil.Process(make.pid)]:
                process.send_signal(signal.SIGINT)
            make.communicate(timeout=PATIENCE_S)
