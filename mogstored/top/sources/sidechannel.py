"""What a node without an admin listener shows: the blocks of `watch`, and usage files."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import NamedTuple

from mogstored.log.printable import printable
from mogstored.top.model import Device
from mogstored.top.sources.network import BadAnswer, Host, Unreachable, get, reason

# A node that does not know how busy its disks are sends a block every 10 s, others each second.
SILENCE_S = 12.0
_MAX_DEVICES = 10_000
_MAX_USAGE = 4096
# Nodes write the files every 10 s.
_USAGE_INTERVAL_S = 10.0
# Requests for usage files at a time, for each node: a disk that hangs holds one.
_REQUESTS = 16

_LINE = re.compile(rb"([0-9]{1,10})\t(-|[0-9]{1,5}(?:\.[0-9]{1,5})?)\r?\n")
_USAGE = re.compile(r"^(available|total): *([0-9]{1,18})$|^(device|disk): *(\S.*)$", re.MULTILINE)
_END = b".\n"

# Utilization from 0 to 1 by the number of the device; None where it is unknown.
Block = dict[int, float | None]


class Watch:
    """A connection that receives blocks, the latest of which is kept."""

    def __init__(self, host: Host, port: int, timeout_s: float) -> None:
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._block: Block | None = None
        self._sign_at = time.monotonic()
        self._task = asyncio.create_task(self._run())
        self._first = asyncio.Event()
        self._task.add_done_callback(lambda _task: self._first.set())

    @property
    def is_over(self) -> bool:
        """Whether it is of no more use: it has failed, or is silent for too long."""
        silent_s = time.monotonic() - self._sign_at
        return self._task.done() or silent_s > SILENCE_S + self._timeout_s

    async def latest(self, patience_s: float) -> Block:
        """Return the last block; the first one is waited for.

        **Raises:** `Unreachable`, `BadAnswer`.
        """
        if self._block is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._first.wait()
        if self._task.done():
            self._task.result()
        if self._block is None or self.is_over:
            raise Unreachable("no report of watch", self._port)
        return self._block

    async def close(self) -> None:
        """Close the connection."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Unreachable, BadAnswer):
            await self._task

    async def _run(self) -> None:
        async with self._host.connect(self._port, self._timeout_s) as (reader, writer):
            writer.write(b"watch\n")
            try:
                while True:
                    self._block = await _read_block(reader)
                    self._sign_at = time.monotonic()
                    self._first.set()
            except ValueError:
                raise BadAnswer("sidechannel: a line is too long") from None
            except OSError as error:
                raise Unreachable(reason(error), self._port) from None


async def _read_block(reader: asyncio.StreamReader) -> Block:
    block: Block = {}
    while (line := await reader.readline()) != _END:
        if not line:
            raise Unreachable("the sidechannel was closed")
        found = _LINE.fullmatch(line)
        if found is None:
            raise BadAnswer("sidechannel: no report of watch")
        value = found[2]
        block[int(found[1])] = None if value == b"-" else min(1.0, float(value) / 100)
        if len(block) > _MAX_DEVICES:
            raise BadAnswer("sidechannel: too many devices")
    return block


class Usage(NamedTuple):
    """What the usage file of a device says; `state` is that of `Device`."""

    state: str
    size_bytes: int | None = None
    available_bytes: int | None = None
    source: str | None = None
    path: str | None = None
    fault: str = ""


class UsageFiles:
    """The usage files of a node, read again when they may have changed."""

    def __init__(self, host: Host, port: int, timeout_s: float) -> None:
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._found: dict[int, Usage] = {}
        self._due_at = 0.0

    async def of(self, devids: Block) -> dict[int, Usage]:
        """Return the usage of these devices."""
        if time.monotonic() >= self._due_at or devids.keys() - self._found.keys():
            room = asyncio.Semaphore(_REQUESTS)
            async with asyncio.TaskGroup() as group:
                tasks = {devid: group.create_task(self._read(devid, room)) for devid in devids}
            self._found = {devid: task.result() for devid, task in tasks.items()}
            self._due_at = time.monotonic() + _USAGE_INTERVAL_S
        return self._found

    async def _read(self, devid: int, room: asyncio.Semaphore) -> Usage:
        target, timeout_s = f"/dev{devid}/usage", self._timeout_s
        async with room:
            try:
                response = await get(
                    self._host, self._port, target, limit=_MAX_USAGE, timeout_s=timeout_s
                )
            except Unreachable as error:
                return Usage("no answer", fault=str(error))
            except BadAnswer as error:
                return Usage("no usage", fault=str(error))
        return parse_usage(response.body) if response.status == 200 else Usage("no usage")


def parse_usage(content: bytes) -> Usage:
    """Return what a usage file says."""
    fields: dict[str, str] = {}
    for number, value, word, text in _USAGE.findall(content.decode("utf-8", "replace")):
        fields[number or word] = value or printable(text)
    if not {"available", "total"} <= fields.keys():
        return Usage("no usage", fault="no usage file")
    return Usage(
        "ok",
        int(fields["total"]) * 1024,
        int(fields["available"]) * 1024,
        fields.get("device"),
        fields.get("disk"),
    )


def to_devices(name: str, block: Block, usages: dict[int, Usage]) -> tuple[Device, ...]:
    """Return the devices of the node at address `name`."""
    return tuple(
        Device(
            node=name,
            device=f"dev{devid}",
            path=usage.path,
            source=usage.source,
            state=usage.state,
            size_bytes=usage.size_bytes,
            available_bytes=usage.available_bytes,
            utilization_ratio=block[devid],
        )
        for devid, usage in sorted(usages.items())
        if devid in block
    )
