"""A tracker's connection to the sidechannel: lines out, lines back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.http import Client
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from tests.support.daemon import Node

END_OF_BLOCK = b".\n"


class Manager(Client):
    """A client of the sidechannel. Lines are shown with their line ends."""

    def read_line(self) -> bytes:
        """Read up to and including a LF."""
        while b"\n" not in self._unread:
            self._fill("a line")
        end = self._unread.index(b"\n") + 1
        line, self._unread = self._unread[:end], self._unread[end:]
        return line

    def read_lines(self, count: int) -> list[bytes]:
        """Read so many lines."""
        return [self.read_line() for _ in range(count)]

    def read_block(self) -> list[bytes]:
        """Read the lines of one report, without the line that ends it."""
        lines = []
        while (line := self.read_line()) != END_OF_BLOCK:
            lines.append(line)
        return lines

    def ask(self, line: bytes) -> bytes:
        """Send a command and return the line that answers it."""
        self.send(line + b"\r\n")
        return self.read_line()


def manage(node: Node, timeout: float = PATIENCE_S) -> Manager:
    """Connect to a node's sidechannel."""
    assert node.mgmt is not None, "the node has no sidechannel"
    return Manager(node.mgmt, timeout)
