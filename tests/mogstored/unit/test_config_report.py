"""The listing of the merged configuration is a config file that says the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mogstored.config import Option, load
from mogstored.config.report import describe

ENVIRON = {"PATH": "/bin", "MOG_DISK_USAGE_INTERVAL": "17"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"httplisten": "7500", "httpgetlisten": "127.0.0.1:7502", "mgmtlisten": "[::1]:7501"},
        {"pidfile": "/run/x.pid", "maxconns": "99", "daemonize": "yes", "iostat": "no"},
        {"server": "none", "require-mount": "yes", "stop-timeout": "30"},
    ],
)
def test_listing_read_back_says_the_same(tmp_path: Path, options: dict[str, str]) -> None:
    given = [Option("docroot", str(tmp_path)), *(Option(*item) for item in options.items())]
    config, _ = load(given, ENVIRON)
    file = tmp_path / "listing"
    file.write_text(describe(config))
    again, findings = load([Option("config", str(file))], ENVIRON)
    assert findings.lines() == []
    (service,) = again.services
    assert replace(again, services=(replace(service, source="command line"),)) == config


def test_what_has_no_key_is_shown_in_comments(tmp_path: Path) -> None:
    words = {"worker-processes": "3", "log-format": "json", "docroot": str(tmp_path)}
    config, _ = load([Option(*item) for item in words.items()], ENVIRON)
    lines = describe(config).splitlines()
    assert "# --worker-processes=3" in lines
    assert "# --log-format=json" in lines
    assert "# MOG_DISK_USAGE_INTERVAL=17" in lines
