"""Bounded connections and HTTP answers, and the sidechannel of foreign nodes."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from mogstored.top.arguments import NodeAddress, Options
from mogstored.top.model import Node
from mogstored.top.sources.client import NodeClient
from mogstored.top.sources.network import BadAnswer, Host, Response, Unreachable, get
from mogstored.top.sources.sidechannel import Block, Usage, Watch, parse_usage, to_devices
from tests.support.sockets import reset
from tests.support.status_servers import (
    StatusServer,
    closed_port,
    device_of,
    raw_server,
    silent_port,
    status_of,
)
from tests.support.threads import join
from tests.support.waiting import PATIENCE_S

_SHORT_S = 0.2
_BLOCK = b"1\t0.50\n12\t-\n.\n"
_USAGE = (
    b"available: 25\ndevice: /dev/sda1\ndisk: /m/dev1\ntime: 1\ntotal: 100\nuse: 75%\nused: 75\n"
)


def answer_to(sent: bytes, limit: int = 1000) -> Response:
    with raw_server(sent) as port:
        host = Host("127.0.0.1")
        return asyncio.run(get(host, port, "/x", limit=limit, timeout_s=PATIENCE_S))


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 500 No\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    ],
)
def test_body_comes_by_length_by_chunks_or_to_the_end(sent: bytes) -> None:
    assert answer_to(sent) == Response(200, b"hello")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "the answer is cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", "the answer is cut off"),
        (b"SSH-2.0-OpenSSH_9\r\n", "no HTTP"),
        (b"\x00\xff" * 100, "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz", None),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000, "the answer is too long"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "the answer is too long"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "the answer is too long"),
    ],
)
def test_what_makes_no_sense_is_a_bad_answer(sent: bytes, said: str | None) -> None:
    if said is None:
        assert answer_to(sent).status == 101
        return
    with pytest.raises(BadAnswer) as refused:
        answer_to(sent)
    assert str(refused.value) == said


def test_connection_that_is_reset_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept_and_reset() -> None:
            client, _ = listener.accept()
            client.recv(4096)
            reset(client)

        thread = threading.Thread(target=accept_and_reset)
        thread.start()
        host, port = Host("127.0.0.1"), listener.getsockname()[1]
        with pytest.raises(Unreachable, match=rf"port {port}: .*reset"):
            asyncio.run(get(host, port, "/x", limit=1000, timeout_s=PATIENCE_S))
        join(thread)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_connection_that_is_closed_is_no_answer(sent: bytes) -> None:
    with pytest.raises(Unreachable, match=r"port \d+: closed without an answer"):
        answer_to(sent)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing.invalid", "unknown host: "),
        ("a" * 70, "unknown host: "),
        ("..", "unknown host: "),
    ],
)
def test_host_that_is_unknown_is_unreachable(name: str, said: str) -> None:
    with pytest.raises(Unreachable) as refused:
        asyncio.run(get(Host(name), 1, "/", limit=1, timeout_s=PATIENCE_S))
    assert str(refused.value).startswith(said)


def test_name_is_looked_up() -> None:
    with StatusServer(b"hello") as server:
        found = get(Host("localhost"), server.port, "/", limit=100, timeout_s=PATIENCE_S)
        assert asyncio.run(found) == Response(404, b"hello")


def test_look_up_that_takes_long_is_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    lookup = socket.getaddrinfo

    def slow(name: str, port: None, **more: Any) -> object:
        if name != "slow.example":
            return lookup(name, port, **more)
        if more["flags"]:
            raise socket.gaierror("no number")
        assert gate.wait(PATIENCE_S)
        return lookup("127.0.0.1", port, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def ask_twice(port: int) -> Response:
        host = Host("slow.example")
        with pytest.raises(Unreachable, match="the look-up of the name takes too long"):
            await get(host, port, "/", limit=100, timeout_s=_SHORT_S)
        gate.set()
        return await get(host, port, "/", limit=100, timeout_s=PATIENCE_S)

    with StatusServer(b"hello") as server:
        assert asyncio.run(ask_twice(server.port)).body == b"hello"


def ask(options: Options, times: int = 1) -> list[Node]:
    """Ask the first node of the options."""

    async def run() -> list[Node]:
        client = NodeClient(options.nodes[0], options)
        try:
            return [await client.ask() for _ in range(times)]
        finally:
            await client.close()

    return asyncio.run(run())


def options_for(port: int, **more: int | float) -> Options:
    return Options(
        nodes=(NodeAddress("127.0.0.1", port),),
        **{"timeout_s": PATIENCE_S, **more},  # type: ignore[arg-type]
    )


def test_rates_are_of_the_time_between_two_answers() -> None:
    device = device_of("dev1", errors_total=1, operations={"read": {"count": 7}})
    with StatusServer(status_of(device, requests=10)) as server:

        async def run() -> list[Node]:
            client = NodeClient(NodeAddress("127.0.0.1", server.port), options_for(server.port))
            nodes = [await client.ask()]
            await asyncio.sleep(0.1)
            device["errors_total"] = 3
            server.content = status_of(device, requests=1010)
            return [*nodes, await client.ask()]

        first, second = asyncio.run(run())
    assert first.requests_per_second is None
    assert second.requests_per_second is not None
    assert 0 < second.requests_per_second <= 10_000
    assert second.failed_requests_per_second == 0
    assert second.devices[0].requests_per_second == 0
    assert second.errors_per_second is not None
    assert second.errors_per_second == pytest.approx(second.requests_per_second * 2 / 1000)


def test_restarted_node_has_no_negative_rates() -> None:
    with StatusServer(status_of(requests=10)) as server:

        async def run() -> Node:
            client = NodeClient(NodeAddress("127.0.0.1", server.port), options_for(server.port))
            await client.ask()
            server.content = status_of(requests=0)
            return await client.ask()

        node = asyncio.run(run())
    assert node.requests_per_second is None
    assert node.sent_bytes_per_second == 0


@pytest.mark.parametrize(
    ("content", "status", "detail"),
    [
        (b"<html>", 200, "no JSON"),
        (b"denied", 403, "port {}: HTTP status 403"),
        (b"", 500, "port {}: HTTP status 500"),
        ({"schema": 7}, 200, "a schema that this version does not know"),
    ],
)
def test_bad_answer_of_an_admin_listener_is_shown(
    content: object, status: int, detail: str
) -> None:
    with StatusServer(content, status) as server:
        (node,) = ask(options_for(server.port))
        assert (node.state, node.detail) == ("bad answer", detail.format(server.port))


def test_node_without_an_admin_listener_is_shown_from_the_sidechannel() -> None:
    usage = b"HTTP/1.0 200 OK\r\n\r\n" + _USAGE
    with (
        closed_port() as admin,
        raw_server(usage) as http,
        raw_server(_BLOCK, closes=False) as mgmt,
    ):
        (node,) = ask(options_for(admin, mgmt_port=mgmt, http_port=http))
    assert (node.state, node.detail, node.via) == ("ok", "no admin listener", "sidechannel")
    first, second = node.devices
    assert (first.device, first.state, first.utilization_ratio) == ("dev1", "ok", 0.005)
    assert (first.size_bytes, first.available_bytes) == (102_400, 25_600)
    assert (first.source, first.path) == ("/dev/sda1", "/m/dev1")
    assert (second.device, second.utilization_ratio) == ("dev12", None)


@pytest.mark.parametrize(
    ("usage", "state"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "no usage"),
        (b"HTTP/1.0 200 OK\r\n\r\nnonsense", "no usage"),
        (b"garbage\r\n\r\n", "no usage"),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100_000, "no usage"),
    ],
)
def test_device_whose_usage_file_makes_no_sense(usage: bytes, state: str) -> None:
    with (
        closed_port() as admin,
        raw_server(usage) as http,
        raw_server(_BLOCK, closes=False) as mgmt,
    ):
        (node,) = ask(options_for(admin, mgmt_port=mgmt, http_port=http))
    assert [device.state for device in node.devices] == [state, state]
    assert node.state == "ok"


def test_node_whose_http_port_is_closed() -> None:
    with closed_port() as admin, closed_port() as http, raw_server(_BLOCK, closes=False) as mgmt:
        (node,) = ask(options_for(admin, mgmt_port=mgmt, http_port=http))
    assert (node.state, node.detail) == ("no HTTP", f"port {http}: Connection refused")
    assert [device.state for device in node.devices] == ["no answer", "no answer"]
    assert node.answers
    assert not node.is_whole


@pytest.mark.parametrize(
    ("sent", "state", "said"),
    [
        (b"ERR iostat unavailable\r\n", "bad answer", "sidechannel: no report of watch"),
        (b"1\t0.5\r\nx" + b"\x1b[2J" * 100_000, "bad answer", "sidechannel: a line is too long"),
        (b"1 50\n.\n", "bad answer", "sidechannel: no report of watch"),
        (b"dev1\t50\n", "bad answer", "sidechannel: no report of watch"),
        (b"1\tinf\n", "bad answer", "sidechannel: no report of watch"),
        (b"", "no answer", "the sidechannel was closed"),
    ],
)
def test_sidechannel_that_makes_no_sense(sent: bytes, state: str, said: str) -> None:
    with closed_port() as admin, raw_server(sent) as mgmt:
        (node,) = ask(options_for(admin, mgmt_port=mgmt))
    assert node.state == state
    assert said in node.detail


def test_endless_block_is_a_bad_answer() -> None:
    block = b"".join(b"%d\t1\n" % devid for devid in range(10_002))
    with closed_port() as admin, raw_server(block) as mgmt:
        (node,) = ask(options_for(admin, mgmt_port=mgmt))
    assert (node.state, node.detail) == ("bad answer", "sidechannel: too many devices")


def test_longest_block_is_taken() -> None:
    block = b"".join(b"%d\t1\n" % devid for devid in range(10_000)) + b".\n"
    with raw_server(block, closes=False) as mgmt:

        async def run() -> int:
            watch = Watch(Host("127.0.0.1"), mgmt, PATIENCE_S)
            try:
                return len(await watch.latest(PATIENCE_S))
            finally:
                await watch.close()

        assert asyncio.run(run()) == 10_000


def test_utilization_is_a_ratio() -> None:
    async def run(port: int) -> Block:
        watch = Watch(Host("127.0.0.1"), port, PATIENCE_S)
        try:
            assert not watch.is_over
            return await watch.latest(PATIENCE_S)
        finally:
            await watch.close()
            assert watch.is_over

    with raw_server(b"1\t0\r\n2\t25.5\n3\t100.00\n4\t101\n5\t-\n.\n", closes=False) as mgmt:
        assert asyncio.run(run(mgmt)) == {1: 0.0, 2: 0.255, 3: 1.0, 4: 1.0, 5: None}


def test_devices_without_a_report_are_left_out() -> None:
    usages = {9: Usage("ok", 8, 4), 2: Usage("no usage"), 3: Usage("ok")}
    found = to_devices("stor1", {9: 0.5, 2: None}, usages)
    assert [(d.node, d.device, d.state, d.utilization_ratio) for d in found] == [
        ("stor1", "dev2", "no usage", None),
        ("stor1", "dev9", "ok", 0.5),
    ]


def test_node_that_is_down_says_so_for_both_ports() -> None:
    with closed_port() as admin, closed_port() as mgmt:
        (node,) = ask(options_for(admin, mgmt_port=mgmt))
    assert node.state == "no answer"
    assert node.detail == f"ports {admin} and {mgmt}: Connection refused"


def test_node_that_is_silent_on_all_ports_is_given_up() -> None:
    with silent_port() as port:
        (node,) = ask(options_for(port, mgmt_port=port, timeout_s=_SHORT_S))
    assert node.state == "no answer"
    assert node.detail == f"port {port}: no answer; port {port}: no report of watch"


def test_admin_listener_that_answers_404_is_none() -> None:
    with (
        StatusServer(b"", status=404) as server,
        raw_server(b"HTTP/1.0 200 OK\r\n\r\n" + _USAGE) as http,
        raw_server(_BLOCK, closes=False) as mgmt,
    ):
        nodes = ask(options_for(server.port, mgmt_port=mgmt, http_port=http), times=3)
        # It is not tried each time.
        assert server.asked == 1
    assert [node.via for node in nodes] == ["sidechannel"] * 3


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (_USAGE, Usage("ok", 102_400, 25_600, "/dev/sda1", "/m/dev1")),
        (b"total: 8\navailable: 4\n", Usage("ok", 8192, 4096)),
        (b"total: 8\r\navailable: 4", Usage("no usage", fault="no usage file")),
        (b"total: -8\navailable: 4\n", Usage("no usage", fault="no usage file")),
        (b"\xff\xfe", Usage("no usage", fault="no usage file")),
        (
            b"total: 8\navailable: 4\ndevice: \x1b[31m\xff\n",
            Usage("ok", 8192, 4096, "\\x1b[31m\ufffd"),
        ),
    ],
)
def test_usage_file_is_read_line_by_line(content: bytes, expected: Usage) -> None:
    assert parse_usage(content) == expected
