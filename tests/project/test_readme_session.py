"""The curl session of the README, typed against a real node, gets the answers it shows."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest

from tests.project._tree import ROOT
from tests.support.daemon import Node

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")

_DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
_ADDRESS = "127.0.0.1:7500"


def session() -> list[tuple[str, str]]:
    """List the commands of the README's console block, each with the output shown below it."""
    (block,) = re.findall(
        r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    parts = [part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(command, output) for command, _, output in parts]


def run(command: str, node: Node) -> str:
    """Run a curl command of the README on the node's real port; return what curl printed."""
    host, port = node.http
    words = shlex.split(command.replace(_ADDRESS, f"{host}:{port}"))
    assert words[0] == "curl"
    words[1:1] = ["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]
    printed = subprocess.run(words, check=True, capture_output=True).stdout
    return printed.decode().replace("\r\n", "\n")


def without_dates(text: str) -> str:
    return _DATE.sub("DATE", text).rstrip("\n")


def test_readme_shows_what_curl_prints(node: Node) -> None:
    shown = [(command, without_dates(output)) for command, output in session()]
    printed = [(command, without_dates(run(command, node))) for command, _ in shown]
    assert shown == printed


def test_readme_puts_reads_and_deletes() -> None:
    first_lines = [output.partition("\n")[0] for _, output in session()]
    assert first_lines == ["HTTP/1.1 201 Created", "hello, mogile", "HTTP/1.1 204 No Content"]
