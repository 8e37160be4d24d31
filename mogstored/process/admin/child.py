"""Become the admin process, in a child forked by a process without threads.

Nothing of the parent is used any more but its listening sockets and one end of the control
channel: no file on a disk stays open, nor a channel whose end another process waits for.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from mogstored.log.bounded_writer import BoundedWriter
from mogstored.process.flusher import flush_before_exit
from mogstored.process.main_loop import log_the_end
from mogstored.process.supervision.title import Title
from mogstored.rlimits import close_all_but

_NAME = "mogstored-admin"
# Those of the parent, whose descriptors are closed: were they released, others of the same number
# would be closed with them.
_handlers_of_the_parent: list[logging.Handler] = []

Serve = Callable[[socket.socket, Sequence[socket.socket], BoundedWriter], None]


@dataclass(frozen=True, slots=True)
class AdminProgram:
    """What the process runs: `serve` until the control channel ends."""

    serve: Serve
    open_log: Callable[[], BoundedWriter]
    title: Title

    def run(self, control: socket.socket, listeners: Sequence[socket.socket]) -> NoReturn:
        """Run in a forked child, with signals blocked; never return to the parent's code."""
        status = 1
        log = None
        try:
            # Nor may the collector close what has the number of something else by then.
            gc.freeze()
            # The launcher has it off.
            gc.enable()
            signal.set_wakeup_fd(-1)
            _ignore_signals()
            close_all_but(*(sock.fileno() for sock in (control, *listeners)))
            log = self._open_log()
            self.title.show_role("admin", name=_NAME)
            self.serve(control, listeners, log)
            status = 0
        except BaseException as error:
            log_the_end("the admin process", error)
        finally:
            try:
                if log is not None:
                    flush_before_exit([log])
            finally:
                os._exit(status)

    def _open_log(self) -> BoundedWriter:
        for name in ("mogstored", "mogpoll"):
            _handlers_of_the_parent.extend(logging.getLogger(name).handlers)
            logging.getLogger(name).handlers.clear()
        return self.open_log()


def _ignore_signals() -> None:
    """Ignore what stops a node: the process ends with it, and answers until then.

    Its parent had them blocked, and they stay so.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
