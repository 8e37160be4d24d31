"""What a killed node has left is removed by the next one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.arrival import wait_until_taken
from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.puts import put_head, traces
from tests.support.slow_disk import slow_disk
from tests.support.waiting import wait_until


@pytest.mark.parametrize("workers", [0, 2], ids=["single", "workers"])
def test_killed_upload_is_removed_at_the_next_start(tmp_path: Path, workers: int) -> None:
    with slow_disk(tmp_path / "disk") as disk:
        with Node(devices=(), checked=False) as killed:
            (killed.docroot / "dev1").symlink_to(disk.path)
            with Client(killed.http) as client:
                client.send(put_head("/dev1/file", "Content-Length: 8") + b"half")
                wait_until(lambda: traces(killed, "/dev1/file") != [], "a temporary file")
                wait_until_taken(client)
                killed.kill()
            (left,) = traces(killed, "/dev1/file")
        long_ago = time.time() - 7200
        os.utime(disk.path / left, (long_ago, long_ago))
        (disk.path / "young.0a1b2c3d.1.tmp").touch()
        (disk.path / "whole").touch()
        extra = [f"--worker-processes={workers}"] if workers else []
        node = Node(devices=(), mgmt=True, extra=extra)
        (node.docroot / "dev1").symlink_to(disk.path)
        with node:
            assert node.wait_for_log(r"dev1: removed 1 files that were left over$")
            assert not (disk.path / left).exists()
            assert (disk.path / "young.0a1b2c3d.1.tmp").exists()
            assert (disk.path / "whole").exists()
