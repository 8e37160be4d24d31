"""docs/migration.md: its file is read as it says, and the way back leaves what it says."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mogpoll.system.attributes import remove_attribute
from tests.project._tree import ROOT
from tests.support.attributes import takes_attributes
from tests.support.daemon import Node
from tests.support.http import ask, compose
from tests.support.program import run

TEXT = (ROOT / "docs" / "migration.md").read_text()
PATH = "/dev1/0/000/000/0000000001.fid"


def perl_file(place: Path, server: str = "perlbal") -> Path:
    """Write the document's file, with paths of our own and ports that the system chooses."""
    (text,) = re.findall(r"```ini\n(.*?)```", TEXT, re.DOTALL)
    text = re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", text)
    text = text.replace("/var/mogdata", str(place)).replace("/run/", f"{place}/")
    (place / "dev1").mkdir(exist_ok=True)
    file = place / "mogstored.conf"
    file.write_text(text.replace("server = perlbal", f"server = {server}"))
    return file


def test_file_of_perl_mogstored_is_kept(tmp_path: Path) -> None:
    done = run(["--config", str(perl_file(tmp_path)), "--check-config"])
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "errors:" not in line]
    assert ["'server = perlbal'" in warnings[0], "serverbin" in warnings[1]] == [True, True]
    assert len(warnings) == 2
    assert "maxconns = 10000\n" in done.stdout
    assert "daemonize = yes\n" in done.stdout


@pytest.mark.parametrize(
    ("server", "status"), [("none", 0), ("nginx", 1), ("apache", 1), ("lighttpd", 1)]
)
def test_other_servers_of_perl_mogstored(server: str, status: int, tmp_path: Path) -> None:
    assert f"`{server}" in TEXT or f"= {server}`" in TEXT
    done = run(["--config", str(perl_file(tmp_path, server)), "--check-config"])
    assert done.returncode == status, done.stderr


def test_names_that_cannot_be_served_are_found(tmp_path: Path) -> None:
    (command,) = re.findall(r"```sh\n +(cd /var/mogdata.*?)```", TEXT, re.DOTALL)
    served, odd = ["dev1/0/000/000/0000000001.fid", "dev1/a-b.c"], ["dev2/a_b", "dev1/a b"]
    longest = "dev16777215/test-write/test-write-99"
    for name in [*served, *odd, longest, f"{longest}9"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    command = command.replace("/var/mogdata", str(tmp_path))
    found = subprocess.check_output(["sh", "-c", command], text=True).splitlines()
    assert sorted(found) == sorted(f"/{name}" for name in [*odd, f"{longest}9"])


def put(node: Node, content: bytes) -> None:
    digest = base64.b64encode(hashlib.md5(content).digest()).decode()
    length = f"Content-Length: {len(content)}"
    head = compose("PUT", PATH, length, f"Content-MD5: {digest}")
    assert ask(node.http, head + content).status == 201


def test_way_back_leaves_what_the_document_says() -> None:
    with Node(mgmt=True, admin=True, extra=["--scrub=1d"]) as node:
        put(node, b"content")
        node.stop()
        left = {path.name for path in node.docroot.iterdir()} - {"dev1", "dev2"}
        assert left <= {".mogstored"}
        names = os.listxattr(node.path(PATH)) if hasattr(os, "listxattr") else []
        assert {name for name in names if name.startswith("user.")} <= {"user.mogstored.md5"}


def test_file_that_perl_mogstored_has_overwritten_is_reported_until_its_checksum_is_removed(
    tmp_path: Path,
) -> None:
    with Node() as node:
        if not takes_attributes(node.path("/dev1")):
            pytest.skip("no extended attributes in the directory of temporary files")
        put(node, b"content")
        with open(node.path(PATH), "r+b") as file:
            file.write(b"changed")
        scrub = ["scrub", str(node.docroot)]
        assert run(scrub).returncode == 1
        (command,) = re.findall(r"```sh\n(find -L /var/mogdata .*?)```", TEXT, re.DOTALL)
        assert "-x user.mogstored.md5 " in command
        if shutil.which("setfattr"):
            subprocess.run(
                ["sh", "-c", command.replace("/var/mogdata", str(node.docroot))], check=True
            )
        else:
            with open(node.path(PATH), "rb") as file:
                remove_attribute(file.fileno(), "mogstored.md5")
        assert run(scrub).returncode == 0
