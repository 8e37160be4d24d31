"""How often nodes are asked, and for how many open files that asks."""

from __future__ import annotations

import asyncio
import resource
from time import monotonic

import pytest

from mogstored.top.arguments import NodeAddress, Options
from mogstored.top.model import Node
from mogstored.top.sources import polling

NODES = (NodeAddress("stor1"), NodeAddress("stor2"))
INFINITY = resource.RLIM_INFINITY


class Client:
    """Answers at once; notes when it was asked, and that it was closed."""

    made: list[Client]

    def __init__(self, address: NodeAddress, _options: Options) -> None:
        self.name = address.text
        self.asked_at: list[float] = []
        self.is_closed = False
        self.made.append(self)

    async def ask(self) -> Node:
        self.asked_at.append(monotonic())
        return Node(node=self.name, state="ok")

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    Client.made = []
    monkeypatch.setattr(polling, "NodeClient", Client)
    monkeypatch.setattr(polling, "_raise_open_files", lambda _wanted: None)
    return Client.made


def test_each_node_is_asked_at_its_pace_and_so_many_times(clients: list[Client]) -> None:
    shown: list[str] = []
    options = Options(nodes=NODES, interval_s=0.05)
    asyncio.run(polling.poll(options, lambda node: shown.append(node.node), rounds=2))
    assert sorted(shown) == ["stor1", "stor1", "stor2", "stor2"]
    for client in clients:
        first, second = client.asked_at
        assert second - first >= 0.04
        assert client.is_closed


def test_without_rounds_there_is_no_end(clients: list[Client]) -> None:
    async def run() -> None:
        enough = asyncio.Event()

        def show(_node: Node) -> None:
            if len(clients[0].asked_at) == 3:
                enough.set()

        asking = asyncio.create_task(polling.poll(Options(nodes=NODES[:1], interval_s=0), show))
        await enough.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(run())
    assert clients[0].is_closed


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "expected"),
    [
        (100, 1000, 90, None),
        (90, 1000, 90, None),
        (89, 1000, 90, (90, 1000)),
        (50, 70, 90, (70, 70)),
        (50, INFINITY, 90, (90, INFINITY)),
        (INFINITY, INFINITY, 90, None),
    ],
)
def test_limit_of_open_files_is_raised_as_far_as_may_be(
    monkeypatch: pytest.MonkeyPatch,
    soft: int,
    hard: int,
    wanted: int,
    expected: tuple[int, int] | None,
) -> None:
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limits: found.append(limits))
    polling._raise_open_files(wanted)
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize("error", [ValueError, PermissionError])
def test_limit_that_cannot_be_raised_is_no_error(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(_kind: int, _limits: object) -> None:
        raise error

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (1, 2))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    polling._raise_open_files(3)


def test_there_are_files_for_all_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[int] = []
    monkeypatch.setattr(polling, "NodeClient", Client)
    monkeypatch.setattr(polling, "_raise_open_files", wanted.append)
    Client.made = []
    asyncio.run(polling.poll(Options(nodes=NODES), lambda _node: None, rounds=1))
    # A request for each of 16 usage files at a time, the admin listener or the watch, and others.
    assert wanted[0] > 2 * 17
