"""What a worker thread lends to its steps: memory for bodies, what it knows, its counters."""

from __future__ import annotations

import mmap
from collections import defaultdict
from typing import ClassVar

from mogstored.devices.device import Device, Devices
from mogstored.http.message.request import Blocks, Request
from mogstored.observability.counters import ThreadCounters


class Known:
    """What a worker thread knows of one docroot: requests by their bytes, devices by their names.

    **Threads:** its own.
    """

    __slots__ = ("devices", "requests")

    def __init__(self) -> None:
        self.requests: dict[bytes, Request] = {}
        self.devices: dict[bytes, Device] = {}

    def device_of(self, path: bytes, devices: Devices) -> Device:
        """Return what `devices.of` returns; a device that it knows is known for good."""
        name = path.partition(b"/")[0]
        device = self.devices.get(name)
        if device is None:
            device = devices.of(path)
            if device.name == name:
                self.devices[name] = device
        return device


class Buffers:
    """The memory of one worker thread.

    `buffer` is one piece. `ring` is four smaller ones, of which one can be received into while
    others are hashed; they overlap `buffer`.

    `known` is by the number of the docroot. `blocks` holds fields by their bytes, to parse them
    once. These tables are the thread's own, as the `counters` are: a look-up by bytes in a table
    that threads share takes the table's lock on a free-threaded interpreter.
    Source: compare_generic_threadsafe in CPython 3.13, Objects/dictobject.c.

    **Threads:** its own.
    """

    BUFFER_SIZE: ClassVar[int] = 1024 * 1024
    RING_SIZE: ClassVar[int] = 4

    def __init__(self, counters: ThreadCounters | None = None) -> None:
        self.counters = counters or ThreadCounters()
        # Untouched pages cost nothing; a bytearray would be filled with zeros. And the kernel
        # fills whole pages four times as fast as memory that begins 16 bytes off.
        whole = memoryview(mmap.mmap(-1, 2 * self.BUFFER_SIZE, flags=mmap.MAP_PRIVATE))
        self.buffer = whole[: self.BUFFER_SIZE]
        part = len(whole) // self.RING_SIZE
        self.ring = [whole[begin : begin + part] for begin in range(0, len(whole), part)]
        self.known: defaultdict[int, Known] = defaultdict(Known)
        self.blocks: Blocks = {}
