"""The listing of the merged configuration is itself a config file, of the same meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mogstored.config import Option, load
from mogstored.config.report import describe
from mogstored.config.settings import SETTINGS

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
