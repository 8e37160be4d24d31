"""Messages on a stream: each is its length, 4 bytes in network order, and its bytes."""

from __future__ import annotations

import struct

LENGTH = struct.Struct("!I")


def frame(content: bytes) -> bytes:
    """Return a message as it is sent."""
    return LENGTH.pack(len(content)) + content


class FrameReader:
    """Takes a stream in pieces, and returns its messages.

    **Threads:** one. There is no limit: the other end is a process of this node.
    """

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> None:
        self._received += data

    def take(self) -> bytes | None:
        """Return the next message; None if it is not whole yet."""
        if len(self._received) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack_from(self._received)
        end = LENGTH.size + size
        if len(self._received) < end:
            return None
        content = bytes(memoryview(self._received)[LENGTH.size : end])
        del self._received[:end]
        return content
