"""The listing of the merged configuration is itself a config file, of the same meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mogstored.config import Option, load
from mogstored.config.report import describe, show
from mogstored.config.settings import BY_NAME, SETTINGS
from mogstored.config.values.addresses import parse_addresses
from mogstored.config.values.networks import parse_allowed, parse_denied

ENVIRON = {"PATH": "/bin", "MOG_DISK_USAGE_INTERVAL": "17"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"httplisten": "7500", "httpgetlisten": "127.0.0.1:7502", "mgmtlisten": "[::1]:7501"},
        {"pidfile": "/run/x.pid", "maxconns": "99", "daemonize": "yes", "iostat": "no"},
        {"server": "none", "require-mount": "yes", "stop-timeout": "30"},
        {"worker-processes": "3", "log-format": "json", "aio-threads": "9"},
        {"usage-interval": "5"},
        {"adminlisten": "127.0.0.1:9 [::1]:9"},
        {"scrub": "30d", "scrub-rate": "7", "durability": "full", "checksum-at-rest": "sha256"},
        {"min-free": "5%", "error-read-limit": "3", "log-level": "debug"},
    ],
)
def test_listing_read_back_says_the_same(tmp_path: Path, options: dict[str, str]) -> None:
    given = [Option("docroot", str(tmp_path)), *(Option(*item) for item in options.items())]
    config, _ = load(given, ENVIRON)
    file = tmp_path / "listing"
    file.write_text(describe(config))
    again, diagnostics = load([Option("config", str(file))], ENVIRON)
    assert diagnostics.lines() == []
    (service,) = again.services
    assert replace(again, services=(replace(service, source="command line"),)) == config


def test_each_service_has_a_heading_below_what_is_of_the_node(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    named = {"docroot": f"{tmp_path}/a", "mgmtlisten": "7501", "worker-processes": "auto"}
    config, _ = load([Option(*item) for item in named.items()], ENVIRON)
    node, service = describe(config).split("\n\n")
    count = config.worker_processes.number
    assert f"worker_processes = auto  # {count} here" in node.splitlines()
    assert "docroot" not in node
    assert service.splitlines()[0] == "# from command line"
    assert f"docroot = {tmp_path}/a" in service.splitlines()
    assert "mgmtlisten = 7501" in service.splitlines()


def test_name_that_is_escaped_is_marked(tmp_path: Path) -> None:
    (tmp_path / "a\nb").mkdir()
    config, _ = load([Option("docroot", f"{tmp_path}/a\nb")], ENVIRON)
    line = rf"docroot = {tmp_path}/a\nb  # escaped, not the name itself"
    assert line in describe(config).splitlines()


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("daemonize", True, "daemonize = yes"),
        ("daemonize", False, "daemonize = no"),
        ("pidfile", None, "no pidfile"),
        ("pidfile", "/p", "pidfile = /p"),
        ("scrub_rate", 20, "scrub_rate = 20"),
        ("adminlisten", (), "no adminlisten"),
        ("adminlisten", parse_addresses("1 [::1]:2"), "adminlisten = 1,[::1]:2"),
        ("allow", (), "no allow"),
        ("allow", parse_allowed("all") + parse_denied("::/0"), "allow = all, deny = ::/0"),
    ],
)
def test_value_in_a_line(name: str, value: object, shown: str) -> None:
    assert show(BY_NAME[name], value) == shown


def test_every_setting_is_shown(tmp_path: Path) -> None:
    words = {
        "docroot": str(tmp_path),
        "httplisten": "127.0.0.1:1",
        "httpgetlisten": "127.0.0.1:2",
        "mgmtlisten": "127.0.0.1:3",
        "pidfile": "/run/x.pid",
        "access-log": "-",
        "aio-threads": "9",
        "stop-timeout": "30",
        "adminlisten": "127.0.0.1:4",
        "client-header-timeout": "10",
        "client-body-timeout": "20",
        "send-timeout": "30",
        "keepalive-timeout": "40",
        "scrub": "30d",
        "min-free": "10G",
        "allow": "10.0.0.0/8",
        "deny": "all",
    }
    config, _ = load([Option(*item) for item in words.items()], ENVIRON)
    shown = {line.partition(" = ")[0] for line in describe(config).splitlines() if "=" in line}
    assert shown == {setting.name for setting in SETTINGS if setting.is_key and setting.is_kept}
    assert "usage_interval = 17" in describe(config).splitlines()
