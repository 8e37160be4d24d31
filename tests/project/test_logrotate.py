"""The recipe for logrotate, with the real program: no line is lost, old files are compressed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project._tree import ROOT
from tests.support.access_lines import parse_combined
from tests.support.daemon import Node
from tests.support.http import ask, compose
from tests.support.waiting import wait_until

RECIPE = ROOT / "packaging" / "monitoring" / "logrotate" / "mogstored"


def requests(path: Path) -> list[str]:
    return [parse_combined(line)["request"] for line in path.read_text().splitlines()]


def test_logrotate_with_the_recipe(tmp_path: Path) -> None:
    program = shutil.which("logrotate", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        pytest.skip("logrotate is not installed")
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    path, pidfile = logs / "access.log", tmp_path / "pid"
    recipe = RECIPE.read_text()
    for shipped, here in (
        ("/var/log/mogstored/access.log", path),
        ("/run/mogstored.pid", pidfile),
    ):
        assert shipped in recipe
        recipe = recipe.replace(shipped, str(here))
    config = tmp_path / "logrotate.conf"
    config.write_text(recipe)
    config.chmod(0o644)

    def rotate() -> None:
        command = [program, "--force", "--state", str(tmp_path / "state"), str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    with Node(extra=[f"--access-log={path}", f"--pidfile={pidfile}"]) as node:
        for number in (1, 2):
            ask(node.http, compose("GET", f"/dev1/{number}"))
            wait_until(lambda: path.exists() and path.stat().st_size, "the line is written")
            rotate()
        wait_until(path.exists, "there is a new file")
        ask(node.http, compose("GET", "/dev1/3"))
    assert requests(path) == ["GET /dev1/3 HTTP/1.1"]
    assert requests(logs / "access.log.1") == ["GET /dev1/2 HTTP/1.1"]
    # The one before is compressed when it is certain that no process writes to it.
    assert {file.name for file in logs.iterdir()} == {
        "access.log",
        "access.log.1",
        "access.log.2.gz",
    }
