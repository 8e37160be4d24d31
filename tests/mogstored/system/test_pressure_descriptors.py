"""A node with hardly any descriptors left: which clients it closes, which it serves."""

from __future__ import annotations

import re
import select
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.arrival import wait_until_taken
from tests.support.backend import OVER_LIBKQUEUE
from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.puts import (
    SERVER_ERROR,
    assert_refusal,
    put,
    put_head,
    traces,
    wait_until_begun,
)
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.daemon import Address

LIMIT = 20
# How long a client may be idle under pressure, and safely longer.
IDLE_S = 5.0
SILENCE_S = 6.0
ROOT_REQUEST = b"GET / HTTP/1.0\r\n\r\n"
# Completes the request of which silent clients have sent the first byte.
REST_OF_ROOT_REQUEST = b"ET / HTTP/1.1\r\n\r\n"


class CrowdedNode:
    """A node under a low limit, and clients that hold its descriptors."""

    def __init__(self, stack: ExitStack, *, mgmt: bool = False) -> None:
        if OVER_LIBKQUEUE:
            pytest.skip("libkqueue needs descriptors to wait for a descriptor")
        self._stack = stack
        # The usage files are written at the start and not again during a test.
        quiet = {"MOG_DISK_USAGE_INTERVAL": "1000"}
        node = Node(nofile=LIMIT, maxconns=500, mgmt=mgmt, env=quiet)
        self.node = stack.enter_context(node)
        self.silent: list[Client] = []

    def left(self) -> int:
        """Return how many descriptors the node may still open."""
        return LIMIT - self.node.process.num_fds()

    def connect(self, addr: Address | None = None) -> Client:
        """Connect without waiting to be accepted."""
        return self._stack.enter_context(Client(addr or self.node.http))

    def join(self, first: bytes) -> Client:
        """Connect, send something and wait until the node holds the connection."""
        left = self.left()
        client = self.connect()
        client.send(first)
        wait_until(lambda: self.left() < left, "the connection is accepted")
        return client

    def fill(self, left: int = 0) -> None:
        """Hold all but `left` descriptors with clients that sent the first byte of a request.

        One that is left may be of no use for anything but the next connection: Linux sets
        a number aside for each thread that waits in accept, and does not show it.
        """
        while self.left() > left:
            self.silent.append(self.join(b"G"))

    def crowd_in(self, count: int) -> list[int]:
        """Connect that many clients, which stay; return the status that each one got.

        It ends with the first that gets none.
        """
        statuses = []
        for _ in range(count):
            statuses.append(_status(self.connect(), b"GET / HTTP/1.1\r\n\r\n"))
            if not statuses[-1]:
                break
        return statuses

    def lines(self, pattern: str) -> list[str]:
        """Return the logged lines in which the pattern is found."""
        return [line for line in self.node.stderr_lines() if re.search(pattern, line)]


@dataclass
class Silence:
    """Five crowded nodes, and observations after a long silence of their clients.

    One real wait serves them all: the sweep is specified in seconds.
    """

    accepting: CrowdedNode
    """Its clients hold everything; new ones come after the silence."""
    opening: CrowdedNode
    """One descriptor is left, for accepting; a client wants to store a file after the silence."""
    queueing: CrowdedNode
    """Its clients hold everything; a new one has been waiting from the beginning."""
    managed: CrowdedNode
    """It has a sidechannel client as well."""
    flooded: CrowdedNode
    """Its clients hold everything, and twice as many wait in the line before a new one."""
    idle: Client
    busy: Client
    stalled: Client
    uploading: Client
    waiting: Client
    sidechannel: Client
    first_reply: bytes
    waiting_cpu_s: float = 0.0
    waiting_lines: list[str] = field(default_factory=list)
    waiting_lines_s: float = 0.0
    waiting_answered_early: bool = False
    waiting_status: int = 0
    accepting_statuses: list[int] = field(default_factory=list)
    managed_statuses: list[int] = field(default_factory=list)
    opening_status: int = 0
    flooded_status: int = 0
    flooded_s: float = 0.0


LARGE = 24 << 20


@pytest.fixture(scope="module")
def silence() -> Iterator[Silence]:
    with ExitStack() as stack:
        accepting = CrowdedNode(stack)
        opening = CrowdedNode(stack)
        queueing = CrowdedNode(stack)
        managed = CrowdedNode(stack, mgmt=True)
        flooded = CrowdedNode(stack)
        sidechannel = managed.connect(managed.node.mgmt)
        first_reply = _ask_for_size(sidechannel)
        accepting.node.write("/dev1/large", b"x" * LARGE)
        idle = accepting.join(b"GET / HTTP/1.1\r\n\r\n")
        assert idle.read_response().status == 200
        stalled = accepting.join(b"GET /dev1/large HTTP/1.1\r\n\r\n")
        stalled.read_head()
        uploading = accepting.join(put_head("/dev1/part", "Content-Length: 9") + b"part")
        wait_until_begun(accepting.node, "/dev1/part")
        busy = accepting.join(b"G")
        accepting.fill()
        opening.fill(left=1)
        queueing_since = time.monotonic()
        queueing.fill()
        managed.fill(left=1)
        flooded.fill()
        for _ in range(2 * len(flooded.silent)):
            flooded.silent.append(flooded.connect())
            flooded.silent[-1].send(b"G")
        waiting = queueing.connect()
        waiting.send(ROOT_REQUEST)
        seen = Silence(
            accepting, opening, queueing, managed, flooded,
            idle, busy, stalled, uploading, waiting, sidechannel, first_reply,
        )  # fmt: skip
        _be_silent(seen, queueing_since)
        began = time.monotonic()
        seen.flooded_status = _status(flooded.connect(), ROOT_REQUEST)
        seen.flooded_s = time.monotonic() - began
        # As many as have room: no silent client can be kept. Beside their connections,
        # `stalled` and `uploading` held a file each.
        room = len(accepting.silent) + len((idle, stalled, uploading)) + 2
        busy.send(b"T")
        wait_until_taken(busy)
        seen.accepting_statuses = accepting.crowd_in(room)
        seen.managed_statuses = managed.crowd_in(len(managed.silent))
        seen.waiting_status = _status(waiting, b"")
        storing = opening.silent.pop()
        _status(storing, REST_OF_ROOT_REQUEST)
        seen.opening_status = _status(storing, put("/dev1/stored", b"content"))
        yield seen


def _status(client: Client, request: bytes) -> int:
    """Return the status that the request gets, 0 when it gets none."""
    try:
        return client.request(request).status
    except (AssertionError, OSError):
        return 0


def _be_silent(seen: Silence, queueing_since: float) -> None:
    """Let the time pass in which only `busy` sends anything."""
    began = time.monotonic()
    used = _cpu_s(seen.queueing.node)
    time.sleep(SILENCE_S / 2)
    seen.busy.send(b"E")
    seen.waiting_cpu_s = _cpu_s(seen.queueing.node) - used
    seen.waiting_lines = seen.queueing.node.stderr_lines()
    seen.waiting_lines_s = time.monotonic() - queueing_since
    _sleep_until(queueing_since + IDLE_S - 0.5)
    answered, _, _ = select.select([seen.waiting.sock], [], [], 0)
    seen.waiting_answered_early = bool(answered) and time.monotonic() < queueing_since + IDLE_S
    _sleep_until(began + SILENCE_S)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _ask_for_size(sidechannel: Client) -> bytes:
    sidechannel.send(b"size /dev1/no\r\n")
    sidechannel.sock.settimeout(3.0)
    try:
        return sidechannel.sock.recv(100)
    except TimeoutError:
        return b""


def _cpu_s(node: Node) -> float:
    times = node.process.cpu_times()
    return times.user + times.system


@pytest.mark.slow
def test_new_clients_are_served_when_silent_ones_held_everything(silence: Silence) -> None:
    assert set(silence.accepting_statuses) == {200}


@pytest.mark.slow
def test_silent_clients_see_the_end_of_the_connection(silence: Silence) -> None:
    for client in silence.accepting.silent:
        client.read_eof(1.0)


@pytest.mark.slow
def test_client_idle_between_requests_sees_the_end(silence: Silence) -> None:
    silence.idle.read_eof(1.0)


@pytest.mark.slow
def test_client_that_takes_no_data_sees_the_end(silence: Silence) -> None:
    assert len(silence.stalled.read_to_eof()) < LARGE


@pytest.mark.slow
def test_stalled_upload_sees_the_end_and_leaves_nothing(silence: Silence) -> None:
    silence.uploading.read_eof(1.0)
    node = silence.accepting.node
    wait_until(lambda: traces(node, "/dev1/part") == [], "the temporary file is removed")


@pytest.mark.slow
def test_client_that_sent_something_lately_is_kept(silence: Silence) -> None:
    assert silence.busy.request(b" / HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.slow
def test_sweeps_are_logged_with_their_count(silence: Silence) -> None:
    crowded = silence.accepting
    line = rf"^mogstored\[{crowded.node.pid}\]: expired ([0-9]+) idle connections \(>5 sec\)$"
    counts = [re.sub(line, r"\1", found) for found in crowded.lines("expired")]
    # In addition to the silent ones: idle, stalled and uploading.
    assert sum(map(int, counts)) == len(crowded.silent) + 3


@pytest.mark.slow
def test_file_is_stored_at_the_expense_of_silent_clients(silence: Silence) -> None:
    assert silence.opening_status == 201
    assert silence.opening.node.path("/dev1/stored").read_bytes() == b"content"
    for client in silence.opening.silent:
        client.read_eof(1.0)


@pytest.mark.slow
def test_waiting_client_is_served_once_the_others_are_silent_for_long(silence: Silence) -> None:
    assert silence.waiting_status == 200
    assert not silence.waiting_answered_early


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux notes when data last arrived")
def test_time_in_the_backlog_counts_as_silence(silence: Silence) -> None:
    """Otherwise silent clients from the backlog would hold everything for as long again."""
    assert silence.flooded_status == 200
    assert silence.flooded_s < IDLE_S


@pytest.mark.slow
def test_node_does_not_spin_while_no_client_can_be_expired(silence: Silence) -> None:
    assert silence.waiting_cpu_s < SILENCE_S / 2 * 0.4


@pytest.mark.slow
def test_accept_error_is_logged_at_most_once_per_second(silence: Silence) -> None:
    errors = [line for line in silence.waiting_lines if "accept" in line]
    assert 1 <= len(errors) <= silence.waiting_lines_s + 1


@pytest.mark.slow
def test_sidechannel_client_is_never_expired(silence: Silence) -> None:
    assert set(silence.managed_statuses) == {200}
    for client in silence.managed.silent:
        client.read_eof(1.0)
    assert silence.first_reply != b""
    assert _ask_for_size(silence.sidechannel) == silence.first_reply


def test_node_starts_and_serves_under_a_low_limit() -> None:
    with Node(nofile=LIMIT, maxconns=500) as node, Client(node.http) as client:
        assert client.request(put("/dev1/f", b"content")).status == 201
        assert client.request(b"GET /dev1/f HTTP/1.1\r\n\r\n").body == b"content"


def test_waiting_client_is_served_as_soon_as_another_leaves() -> None:
    with ExitStack() as stack:
        crowded = CrowdedNode(stack)
        crowded.fill()
        waiting = crowded.connect()
        waiting.send(ROOT_REQUEST)
        waiting.expect_silence(0.3)
        crowded.silent[0].close()
        assert waiting.read_response().status == 200


def test_no_descriptor_for_the_file_of_an_upload() -> None:
    with ExitStack() as stack:
        crowded = CrowdedNode(stack)
        storing = crowded.join(b"P")
        crowded.fill()
        storing.send(put("/dev1/f", b"content")[1:])
        assert_refusal(storing, SERVER_ERROR)
        assert list((crowded.node.docroot / "dev1").iterdir()) == []
        storing.close()
        wait_until(crowded.left, "a descriptor is free")

        def is_stored_by(other: Client) -> bool:
            other.send(REST_OF_ROOT_REQUEST + put("/dev1/f", b"content"))
            assert other.read_response().status == 200
            return other.read_response().status == 201

        # A look at the device may take the free one for an instant.
        assert any(map(is_stored_by, crowded.silent))


def test_no_descriptor_for_the_file_of_a_download() -> None:
    with ExitStack() as stack:
        crowded = CrowdedNode(stack)
        crowded.node.write("/dev1/f", b"content")
        reading = crowded.join(b"G")
        crowded.fill()
        reading.send(b"ET /dev1/f HTTP/1.1\r\n\r\n")
        response = reading.read_response()
        # A missing descriptor must never look like a missing file.
        assert (response.status, response.keeps) == (500, True)
        crowded.silent[0].close()
        wait_until(crowded.left, "a descriptor is free")

        def is_read() -> bool:
            return reading.request(b"GET /dev1/f HTTP/1.1\r\n\r\n").body == b"content"

        # A look at the device may take the free one for an instant.
        wait_until(is_read, "the file is read")
