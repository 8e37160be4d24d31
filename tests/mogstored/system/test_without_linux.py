"""The node on a system without Linux's own calls, such as FreeBSD.

The names are taken away before anything of the node is imported. What the kernel does is
Linux's all the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.sidechannel import manage
from tests.support.waiting import promptly

if TYPE_CHECKING:
    from collections.abc import Iterator

_WITHOUT = """
import os, socket
for module, names in ((os, "O_NOATIME eventfd"), (socket, "MSG_MORE TCP_QUICKACK TCP_CORK")):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
"""
# Linux and FreeBSD delay an acknowledgement by 40 to 200 ms, and so a packet that waits for it.
DELAYED_S = 0.04


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("without")
    (folder / "sitecustomize.py").write_text(_WITHOUT)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="module")
def node(env: dict[str, str]) -> Iterator[Node]:
    with Node(mgmt=True, env=env) as node:
        yield node


@pytest.fixture(scope="module")
def large(node: Node) -> bytes:
    content = os.urandom(300_000)
    node.path("/dev1/large").write_bytes(content)
    return content


def test_names_are_gone(env: dict[str, str]) -> None:
    asked = "import os, socket; print([hasattr(os, 'O_NOATIME'), hasattr(socket, 'MSG_MORE')])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", asked],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[False, False]\n"


@pytest.mark.parametrize("size", [0, 5, 100_000])
def test_file_is_stored_and_read(node: Node, size: int) -> None:
    content = os.urandom(size)
    with Client(node.http) as client:
        put = compose("PUT", "/dev1/a/file", f"Content-Length: {size}") + content
        assert client.request(put).status == 201
        for _ in range(3):
            assert client.request(compose("GET", "/dev1/a/file")).body == content
        assert client.request(compose("DELETE", "/dev1/a/file")).status == 204


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_head_is_not_held_back(node: Node, large: bytes, method: str) -> None:
    """A head held back until content follows would make the client wait."""
    request = compose(method, "/dev1/large")
    with Client(node.http) as client:
        answer = promptly(partial(client.request, request, method == "HEAD"), DELAYED_S)
        assert answer.header("Content-Length") == str(len(large))


def test_checksum_is_reported(node: Node) -> None:
    node.path("/dev1/empty").write_bytes(b"")
    with manage(node) as manager:
        answer = manager.ask(b"MD5 /dev1/empty fsck")
    assert answer == b"/dev1/empty MD5=d41d8cd98f00b204e9800998ecf8427e\r\n"


def test_upload_that_breaks_off_is_logged_without_times(node: Node) -> None:
    with Client(node.http) as client:
        client.send(compose("PUT", "/dev1/half", "Content-Length: 100") + b"1")
    node.wait_for_log("PUT /dev1/half failed from .* after 1 bytes: premature EOF")
    assert not any("last_data_recv" in line for line in node.stderr_lines())
