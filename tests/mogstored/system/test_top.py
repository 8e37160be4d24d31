"""`mogstored top` for pipes: tables, JSON and exit statuses, of any kind of node."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import Any

import pytest

import mogstored
from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.program import run
from tests.support.status_servers import (
    StatusServer,
    closed_port,
    device_of,
    raw_server,
    silent_port,
    status_of,
)
from tests.support.waiting import wait_until

_FAST = ("--interval", "0.1", "--timeout", "20")


def json_of(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the output of `mogstored top --json`."""
    done = run(["top", "--json", *_FAST, *arguments])
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def table_of(*arguments: str, env: dict[str, str | None] | None = None) -> tuple[int, list[str]]:
    done = run(["top", *_FAST, *arguments], env={"COLUMNS": None, **(env or {})})
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def words(line: str) -> list[str]:
    return line.split()


def test_table_for_a_pipe_is_plain_text() -> None:
    status = status_of(device_of("dev1"), device_of("dev2", state="failed"))
    with StatusServer(status) as server:
        code, lines = table_of(server.name)
    assert code == 0
    assert [words(line)[0] for line in lines if line] == [
        "NODE",
        server.name,
        "DEVICE",
        "dev2",
        "dev1",
    ]
    assert words(lines[1])[1:3] == ["ok", "2"]
    assert lines[1].endswith("1 failed")
    assert words(lines[4])[:3] == ["dev2", server.name, "failed"]
    assert "\x1b" not in "".join(lines)
    assert all(line == line.rstrip() for line in lines)


def test_width_can_be_set() -> None:
    with StatusServer(status_of(device_of("dev1"))) as server:
        _, lines = table_of(server.name, "--once", env={"COLUMNS": "60"})
    assert max(map(len, lines)) <= 60


def test_locale_without_the_signs_has_others() -> None:
    env: dict[str, str | None] = {"PYTHONIOENCODING": "ascii", "COLUMNS": "90"}
    with StatusServer(status_of(device_of("dev1", source="/dev/ä"))) as server:
        _, lines = table_of(server.name, env=env)
    assert re.search(r" =+-+  50% ", lines[-1])
    assert all(line.isascii() for line in lines)


def test_order_and_filter_of_the_table() -> None:
    rows = [device_of(f"dev{i}", utilization_ratio=i / 10) for i in range(5)]
    with StatusServer(status_of(*rows)) as server:
        _, by_name = table_of(server.name, "--sort", "name")
        _, filtered = table_of(server.name, "--filter", "DEV3")
        _, nothing = table_of(server.name, "--filter", "dev3 hung")
    assert [words(line)[0] for line in by_name[4:]] == [f"dev{i}" for i in range(5)]
    assert [words(line)[0] for line in filtered[4:]] == ["dev3"]
    assert len(nothing) == 1


def test_json_has_every_field() -> None:
    row = device_of("dev1", waiting=2, errors_total=4, operations={"read": {"count": 9}})
    with StatusServer(status_of(row, requests=7)) as server:
        code, shown = json_of(server.name)
    (node,) = shown["nodes"]
    (device,) = node.pop("devices")
    assert code == 0
    assert shown["schema"] == 1
    assert node.pop("sent_bytes_per_second") == 0
    assert node == {
        "node": server.name,
        "state": "ok",
        "detail": "",
        "via": "admin",
        "hostname": "stor1.example",
        "version": "1.2.3",
        "started_at": 1_795_000_000.0,
        "uptime_seconds": 1_000_000.5,
        "worker_processes": 2,
        "worker_restarts": 0,
        "connections": 7,
        "requests_total": 19,
        "failed_requests_total": 2,
        "received_bytes_total": 1000,
        "sent_bytes_total": 2000,
        "requests_per_second": 0,
        "failed_requests_per_second": 0,
        "received_bytes_per_second": 0,
    }
    assert device == {
        "device": "dev1",
        "docroot": "/var/mogdata",
        "path": "/var/mogdata/dev1",
        "source": "/dev/sdx1",
        "state": "ok",
        "verdict": "waiting",
        "state_since": None,
        "size_bytes": 2**40,
        "available_bytes": 2**39,
        "inodes": 1000,
        "inodes_free": 900,
        "utilization_ratio": 0.125,
        "utilization_history": [0.0, None, 0.125],
        "in_flight": 0,
        "waiting": 2,
        "oldest_waiting_seconds": 0.0,
        "requests_total": 9,
        "errors_total": 4,
        "scrub_findings": None,
        "requests_per_second": 0,
        "errors_per_second": 0,
    }


def test_node_of_the_suite_without_admin_listener_is_shown_from_its_sidechannel() -> None:
    with Node(devices=("dev1", "dev22"), mgmt=True) as node, closed_port() as admin:
        assert node.mgmt is not None
        ports = ("--mgmt-port", str(node.mgmt[1]), "--http-port", str(node.http[1]))
        code, shown = json_of(f"127.0.0.1:{admin}", *ports)
        _, lines = table_of(f"127.0.0.1:{admin}", *ports)
        sizes = node.docroot.stat().st_dev == (node.docroot / "dev1").stat().st_dev
    (found,) = shown["nodes"]
    assert (code, found["state"], found["via"]) == (0, "ok", "sidechannel")
    assert found["detail"] == "no admin listener"
    assert [device["device"] for device in found["devices"]] == ["dev1", "dev22"]
    assert sizes
    for device in found["devices"]:
        assert device["state"] == "ok"
        assert device["size_bytes"] > device["available_bytes"] > 0
        assert device["path"].endswith(device["device"])
    assert [words(line)[0] for line in lines[4:]] == ["dev1", "dev22"]


def test_foreign_node_whose_device_has_no_usage_file() -> None:
    with (
        closed_port() as admin,
        raw_server(b"7\t12.5\n.\n", closes=False) as mgmt,
        raw_server(b"HTTP/1.0 404 Not Found\r\n\r\n") as http,
    ):
        ports = ("--mgmt-port", str(mgmt), "--http-port", str(http))
        code, lines = table_of(f"127.0.0.1:{admin}", *ports)
    assert code == 0
    assert lines[1].endswith("1 no usage, no admin listener")
    assert " no usage " in lines[4]
    assert "12%" in words(lines[4])


@pytest.mark.parametrize("output", ["--once", "--json"])
def test_status_is_1_if_a_node_does_not_answer(output: str) -> None:
    with StatusServer(status_of(device_of("dev1"))) as server, closed_port() as closed:
        gone = f"127.0.0.1:{closed}"
        arguments = ["top", output, *_FAST, "--mgmt-port", str(closed), server.name, gone]
        done = run(arguments, env={"COLUMNS": None})
    assert (done.returncode, done.stderr) == (1, "")
    assert f"ports {closed} and {closed}: Connection refused" in done.stdout
    # The other one is shown all the same.
    assert "dev1" in done.stdout


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"\x00\x1b[2J", "no JSON"),
        ([], "the answer is no object"),
        (status_of({"device": "dev1", "state": 5}), "devices[0].state is no str"),
        (status_of(device_of("dev1", waiting="many")), "devices[0].waiting is no number"),
    ],
)
def test_bad_answer_is_a_state_and_no_traceback(content: object, detail: str) -> None:
    with StatusServer(content) as server:
        code, shown = json_of(server.name)
    (node,) = shown["nodes"]
    assert (code, node["state"], node["detail"]) == (1, "bad answer", detail)


def test_forty_nodes_with_hundreds_of_devices_of_which_some_hang() -> None:
    with ExitStack() as stack:
        names = []
        for number in range(32):
            rows = [device_of(f"dev{number * 20 + i}") for i in range(20)]
            names.append(stack.enter_context(StatusServer(status_of(*rows))).name)
        silent = stack.enter_context(silent_port())
        # 127.0.0.1 and the same host by other names.
        names += [f"{host}:{silent}" for host in ("127.0.0.1", "localhost")]
        code, shown = json_of(*names, "--timeout", "5", "--mgmt-port", str(silent))
    states = [node["state"] for node in shown["nodes"]]
    assert code == 1
    assert states.count("no answer") == 2
    assert states.count("ok") == 32
    assert sum(len(node["devices"]) for node in shown["nodes"]) == 640
    # The worst are first.
    assert states[:2] == ["no answer"] * 2


def test_ipv6_node() -> None:
    try:
        server = StatusServer(status_of(device_of("dev1")), host="::1")
    except OSError:
        pytest.skip("there is no ::1")
    with server:
        code, shown = json_of(server.name)
    assert (code, shown["nodes"][0]["node"]) == (0, server.name)


def test_reader_that_has_enough_is_no_error() -> None:
    rows = [device_of(f"dev{i}") for i in range(500)]
    with StatusServer(status_of(*rows)) as server:
        pipe = ["sh", "-c", '"$@" | head -n 1', "sh"]
        done = run(["top", server.name, *_FAST], wrapper=pipe)
    assert done.stdout.split()[0] == "NODE"
    assert done.stderr == ""


_NO_RICH = """
import sys
sys.modules["rich"] = None
"""


def test_without_rich_a_line_says_what_to_install(tmp_path: Any) -> None:
    (tmp_path / "sitecustomize.py").write_text(_NO_RICH)
    env: dict[str, str | None] = {"PYTHONPATH": str(tmp_path)}
    with StatusServer(status_of(device_of("dev1"))) as server:
        done = run(["top", server.name], env=env)
        # JSON needs no tables.
        as_json = run(["top", "--json", *_FAST, server.name], env=env)
        usage = run(["top", "--help"], env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "mogstored top: the library rich is missing: pip install 'mogstored[top]', "
        "or install the system's python3-rich; --json does without\n"
    )
    assert as_json.returncode == 0
    assert json.loads(as_json.stdout)["nodes"][0]["devices"][0]["device"] == "dev1"
    assert usage.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["stray"], 64, "mogstored: unrecognized arguments: stray; try 'mogstored --help'"),
        (["--multi", "top"], 64, "mogstored: unrecognized arguments: top; try 'mogstored --help'"),
        (["--version", "top"], 0, ""),
        (["top", "--multi", "a"], 2, "mogstored top: unrecognized arguments: --multi"),
    ],
)
def test_options_of_the_node_are_as_they_were(arguments: list[str], code: int, said: str) -> None:
    done = run(arguments)
    assert done.returncode == code
    assert done.stderr.rpartition("\n")[0].rpartition("\n")[2].startswith(said)


@pytest.mark.parametrize("extra", [[], ["--worker-processes", "2"]], ids=["single", "workers"])
def test_node_of_the_suite_is_shown_from_its_admin_listener(extra: list[str]) -> None:
    with Node(mgmt=True, admin=True, extra=extra) as node, closed_port() as closed:
        node.write("/dev1/file", b"content")
        name = f"127.0.0.1:{node.admin[1]}"
        with Client(node.http) as client:
            assert client.request(compose("GET", "/dev1/file")).status == 200
            assert client.request(compose("GET", "/dev1/none")).status == 404

            def shown() -> dict[str, Any]:
                _, whole = json_of(name, "--mgmt-port", str(closed))
                (found,) = whole["nodes"]
                return dict(found)

            def is_known() -> bool:
                return [bool(row["size_bytes"]) for row in shown()["devices"]] == [True, True]

            # What devices there are, and how large, is known a moment after the start.
            wait_until(is_known, "both devices are shown")
            found = shown()
    assert (found["state"], found["via"]) == ("ok", "admin")
    assert found["version"] == mogstored.__version__
    assert found["requests_total"] == 2
    assert found["connections"] == 1
    (first, second) = sorted(found["devices"], key=lambda device: str(device["device"]))
    assert (first["device"], first["state"], second["device"]) == ("dev1", "ok", "dev2")
    assert first["requests_total"] > second["requests_total"]
    assert first["size_bytes"] > first["available_bytes"] > 0
