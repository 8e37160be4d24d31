"""All nodes at a time, each at its own pace: one that is silent delays no other."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable

from mogstored.top.arguments import Options
from mogstored.top.model import Node
from mogstored.top.sources.client import NodeClient

# Of each node: its admin listener or the watch, and requests for usage files.
_SOCKETS = 20
_OTHER_FILES = 50


async def poll(options: Options, on_node: Callable[[Node], None], rounds: int = 0) -> None:
    """Ask all nodes and hand over each answer as it comes.

    0 `rounds` have no end. **Threads:** `on_node` is called by that of the event loop.
    """
    _raise_open_files(_SOCKETS * len(options.nodes) + _OTHER_FILES)
    async with asyncio.TaskGroup() as group:
        for address in options.nodes:
            group.create_task(_ask_again(NodeClient(address, options), options, on_node, rounds))


async def _ask_again(
    client: NodeClient, options: Options, on_node: Callable[[Node], None], rounds: int
) -> None:
    now = asyncio.get_running_loop().time
    asked = 0
    try:
        while True:
            due_at = now() + options.interval_s
            on_node(await client.ask())
            asked += 1
            if asked == rounds:
                return
            await asyncio.sleep(due_at - now())
    finally:
        await client.close()


def _raise_open_files(wanted: int) -> None:
    """Raise the limit of open files as far as it is allowed; too few are faults of nodes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
        except (ValueError, OSError):
            # FreeBSD may refuse what it reported.
            pass
