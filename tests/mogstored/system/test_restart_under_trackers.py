"""A node is restarted or upgraded while trackers use it: no tracker sees half an answer."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.forms import FORMS
from tests.support.http import Client, compose
from tests.support.puts import put_head
from tests.support.sidechannel import Manager
from tests.support.sockets import refuses
from tests.support.threads import Running
from tests.support.tracker import NoReply, Tracker
from tests.support.upgrades import free_address, generations
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.support.daemon import Address

CROWD = 8
LARGE = 3_000_000


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    (tmp_path / "docroot" / "dev1").mkdir(parents=True)
    (tmp_path / "docroot/dev1/large").write_bytes(b"x" * LARGE)
    return tmp_path / "docroot"


def options_for(docroot: Path, addr: Address, extra: Sequence[str]) -> list[str]:
    return ["--docroot", str(docroot), "--httplisten", f"{addr[0]}:{addr[1]}", *extra]


class Crowd:
    """Trackers that ask without a pause until `stop`.

    Each tracker counts its `rounds` and, as `unserved`, refused connections and connections
    without any answer. Half an answer or a wrong one fails the test.
    """

    def __init__(self, addr: Address, docroot: Path) -> None:
        self._addr = addr
        self._docroot = docroot
        self._over = threading.Event()
        self.rounds = [0] * CROWD
        self.unserved = [0] * CROWD
        self._running = [Running(self._asker(number)) for number in range(CROWD)]

    def wait_for_rounds(self) -> None:
        """Wait until the node that runs now has served each tracker."""
        goals = [count + 3 for count in self.rounds]
        wait_until(
            lambda: all(map(int.__ge__, self.rounds, goals)) or self._has_failed(),
            "all trackers are served",
        )

    def stop(self) -> None:
        """Let each finish its round; raises the first failure."""
        self._over.set()
        for each in self._running:
            each.result()

    def _has_failed(self) -> bool:
        return any(each.is_over() for each in self._running)

    def _asker(self, number: int) -> Callable[[], None]:
        def ask() -> None:
            # Every second tracker uses a connection once.
            with Tracker(self._addr) as tracker:
                while not self._over.is_set():
                    try:
                        self._round(tracker, number)
                    except (NoReply, ConnectionError):
                        tracker.close()
                        self.unserved[number] += 1
                    else:
                        self.rounds[number] += 1
                    if number % 2:
                        tracker.close()

        return ask

    def _round(self, tracker: Tracker, number: int) -> None:
        content = b"%d of %d" % (self.rounds[number], number)
        name = f"dev1/0/of{number}"
        assert tracker.ask("PUT", f"/{name}", body=content).status == 201
        assert (self._docroot / name).read_bytes() == content
        assert tracker.ask("GET", f"/{name}").body == content
        assert len(tracker.ask("GET", "/dev1/large").body) == LARGE
        assert tracker.ask("DELETE", f"/{name}").status == 204


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@FORMS
def test_restart(docroot: Path, stack: ExitStack, extra: Sequence[str]) -> None:
    addr = free_address()
    options = options_for(docroot, addr, extra)
    with Node(http=False, names_docroot=False, extra=options) as first:
        crowd = Crowd(addr, docroot)
        stack.callback(crowd.stop)
        crowd.wait_for_rounds()
        assert first.stop(signal.SIGTERM) == 0
    for _ in range(2):
        with Node(http=False, names_docroot=False, extra=options) as node:
            crowd.wait_for_rounds()
            assert node.stop(signal.SIGQUIT) == 0
    with Node(http=False, names_docroot=False, extra=options):
        crowd.wait_for_rounds()
        crowd.stop()
    left = {path.name.split(".")[0] for path in (docroot / "dev1").rglob("*") if path.is_file()}
    assert left <= {"large", *(f"of{number}" for number in range(CROWD))}
    assert not list((docroot / "dev1").rglob("*.tmp"))


@FORMS
def test_upgrade(stack: ExitStack, extra: Sequence[str]) -> None:
    """No connection is refused or left without an answer."""
    with generations(extra=extra) as old:
        docroot = old.node.docroot
        old.node.write("/dev1/large", b"x" * LARGE)
        crowd = Crowd(old.addr, docroot)
        stack.callback(crowd.stop)
        for _ in range(3):
            crowd.wait_for_rounds()
            new = old.upgrade()
            crowd.wait_for_rounds()
            old.retire(new)
        crowd.wait_for_rounds()
        crowd.stop()
        assert crowd.unserved == [0] * CROWD


@FORMS
def test_parked_connections_end_at_an_upgrade(extra: Sequence[str]) -> None:
    with generations(extra=extra) as old, ExitStack() as stack:
        trackers = [stack.enter_context(Tracker(old.addr)) for _ in range(20)]
        for tracker in trackers:
            assert tracker.ask("PUT", "/dev1/file", b"before").status == 201
        new = old.upgrade()
        for tracker in trackers[:5]:
            # The old process's connections go on.
            assert tracker.ask("GET", "/dev1/file").body == b"before"
        old.retire(new)
        for tracker in trackers:
            assert tracker.ask("GET", "/dev1/file").body == b"before"


@FORMS
def test_request_in_the_moment_of_the_stop(docroot: Path, extra: Sequence[str]) -> None:
    """The rest of a request that has begun is awaited."""
    addr = free_address()
    options = options_for(docroot, addr, extra)
    with Node(http=False, names_docroot=False, extra=options) as node, ExitStack() as stack:
        clients = [stack.enter_context(Client(addr)) for _ in range(20)]
        for client in clients:
            assert client.request(compose("GET", "/")).status == 200
            client.send(put_head("/dev1/file", "Content-Length: 7") + b"con")
        with Client(addr) as later:
            assert later.request(compose("GET", "/")).status == 200
        node.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(addr), "connecting is refused")
        for client in clients:
            assert client.request(b"tent").status == 201
            client.read_eof()
        assert node.wait() == 0
    assert (docroot / "dev1/file").read_bytes() == b"content"


def test_sidechannel_is_connected_again(docroot: Path) -> None:
    """Trackers keep it for ever, and connect again when it ends."""
    http, mgmt = free_address(), free_address()
    options = [*options_for(docroot, http, ()), "--mgmtlisten", f"{mgmt[0]}:{mgmt[1]}"]
    question, answer = b"size /dev1/large", b"/dev1/large %d\r\n" % LARGE
    with Node(http=False, names_docroot=False, extra=options) as node:
        parked, watcher = Manager(mgmt), Manager(mgmt)
        with parked, watcher:
            assert parked.ask(question) == answer
            watcher.send(b"watch\n")
            watcher.read_block()
            assert node.stop() == 0
            parked.read_eof()
            rest = watcher.read_to_eof()
            assert not rest or rest.endswith(b"\n.\n")
    with Node(http=False, names_docroot=False, extra=options), Manager(mgmt) as again:
        assert again.ask(question) == answer
