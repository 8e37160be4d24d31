"""Keep the admin process running, and let it know what happens to the node.

Each serving process has a channel of its own to it. The leading process keeps the admin process's
end of each, too: when that one has died, a new channel is sent through it to the serving process.
One that has no descriptor for it loses it, which ends the new channel but not the old one; it is
sent another until it takes one.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple, Protocol

from mogpoll.system.hangups import hung_up
from mogpoll.threads import signals_blocked
from mogstored.admin.control import ControlWriter, NodeFacts, ServingProcess
from mogstored.children import describe_exit, forget_child, note_child
from mogstored.log.printable import reason
from mogstored.process.admin.child import AdminProgram
from mogstored.process.signals import soonest
from mogstored.process.upgrades.launcher import Launcher

_log = logging.getLogger("mogstored")

# Between the starts of one process and the next.
_MIN_INTERVAL_S = 1.0
_RETRY_S = 10.0
# Between checks whether a new channel has arrived.
_CHECK_S = 1.0
# Goes with the descriptor of a channel's successor.
_REPLACED = b"+"


class ChannelEnds(NamedTuple):
    """Both ends of a serving process's channel."""

    ours: socket.socket
    """Of the leading process, for `AdminKeeper.add`."""
    observers: socket.socket

    def close(self) -> None:
        self.ours.close()
        self.observers.close()


class Spawner(Protocol):
    """A way to start the process."""

    def start(self, control: socket.socket) -> None:
        """Start it with its end of the control channel.

        **Raises:** `OSError`.
        """

    def how_it_ended(self) -> str | None:
        """Return how the process ended, once; None while it runs."""

    @property
    def is_blind(self) -> bool:
        """Whether an end of the process would not be seen any more."""

    def release(self) -> None:
        """Close this process's copies of the listening sockets."""


class ForkingSpawner:
    """Forks it from a leading process without threads: a master."""

    def __init__(self, program: AdminProgram, listeners: Sequence[socket.socket]) -> None:
        self._program = program
        self._listeners = listeners
        self._pid: int | None = None

    def start(self, control: socket.socket) -> None:
        # Until the child ignores them, its signals would arrive in the parent's queue.
        with signals_blocked():
            pid = os.fork()
            if pid == 0:
                self._program.run(control, self._listeners)
        note_child(pid)
        self._pid = pid

    def how_it_ended(self) -> str | None:
        if self._pid is None:
            return None
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            return None
        forget_child(pid)
        self._pid = None
        return describe_exit(os.waitstatus_to_exitcode(status))

    @property
    def is_blind(self) -> bool:
        return False

    def release(self) -> None:
        for listener in self._listeners:
            listener.close()


class LauncherSpawner:
    """Lets the launcher fork it: a process with threads and files on disks cannot."""

    def __init__(self, launcher: Launcher, listeners: Sequence[socket.socket]) -> None:
        self._launcher = launcher
        self._listeners = listeners

    def start(self, control: socket.socket) -> None:
        fds = [sock.fileno() for sock in (control, *self._listeners)]
        self._launcher.start_admin(fds)

    def how_it_ended(self) -> str | None:
        return self._launcher.take_admin_end()

    @property
    def is_blind(self) -> bool:
        return not self._launcher.is_running

    def release(self) -> None:
        for listener in self._listeners:
            listener.close()


class AdminKeeper:
    """The admin process, if the node has one: without a spawner, every method does nothing.

    **Threads:** the main one.
    """

    def __init__(self, spawner: Spawner | None, facts: NodeFacts) -> None:
        self._spawner = spawner
        self._facts = facts
        self._control: ControlWriter | None = None
        self._started_at: float
        self._due_at: float | None = None
        """When to start the process; None while it runs, and if it cannot be started."""
        self._channels: dict[ServingProcess, list[socket.socket]] = {}
        """This process's ends of the channels of each serving process, oldest first: each was
        sent through the one before, which is kept until it has arrived."""
        self._unsettled: dict[ServingProcess, bool] = {}
        """Those that may not have their new channel yet, and whether it was shown to the admin
        process."""
        self._check_at = monotonic()

    @property
    def interval_s(self) -> float | None:
        """The longest time until `advance` is called again."""
        is_blind = self._spawner is not None and self._spawner.is_blind
        looks = self._unsettled or (is_blind and self._control is not None)
        due_at = soonest(self._due_at, self._check_at if looks else None)
        return None if due_at is None else max(0.0, due_at - monotonic())

    def start(self) -> None:
        """Start the process; a failure is logged, and tried again."""
        if self._spawner is not None:
            self._start(self._spawner)

    def advance(self) -> None:
        """Replace a process that has ended."""
        if self._spawner is None:
            return
        how = self._spawner.how_it_ended()
        if monotonic() >= self._check_at:
            self._check_at = monotonic() + _CHECK_S
            for process in list(self._unsettled):
                self._settle(process)
            control = self._control if self._spawner.is_blind else None
            if control is not None and hung_up([control.fileno()]):
                how = "has ended"
        if how is not None:
            _log.error("the admin process died: it %s", how)
            self._drop_control()
            self._due_at = max(monotonic(), self._started_at + _MIN_INTERVAL_S)
        if self._due_at is not None and monotonic() >= self._due_at:
            self._start(self._spawner)

    def update(self, change: Callable[[NodeFacts], NodeFacts]) -> None:
        """Change what the admin process knows of the node."""
        self._facts = change(self._facts)
        if self._control is not None and not self._control.send_facts(self._facts):
            # It does not read: let it end, to be replaced.
            self._drop_control()

    def open_channel(self) -> ChannelEnds | None:
        """Return a channel for a new serving process; None if it is not observed."""
        if self._spawner is None:
            return None
        try:
            return ChannelEnds(*socket.socketpair())
        except OSError as error:
            _log.error("a process is not observed: %s", reason(error))
            return None

    def add(self, process: ServingProcess, channel: socket.socket) -> None:
        """Show a new serving process."""
        self._channels[process] = [channel]
        self._introduce(process, channel)

    def remove(self, pid: int) -> None:
        """Release the channel of a serving process that has ended."""
        for process in [each for each in self._channels if each.pid == pid]:
            self._forget(process)

    def disown(self) -> None:
        """Close, in a forked child, what belongs to its parent.

        A child that a disk holds for ever would keep the address from the next node.
        """
        self.stop()
        for process in list(self._channels):
            self._forget(process)

    def end(self, timeout_s: float) -> None:
        """Stop, and wait so long until the process has ended."""
        if self._control is not None:
            self._control.end()
            hung_up([self._control.fileno()], timeout_s)
        self.stop()

    def stop(self) -> None:
        """End the process, by the end of its control channel."""
        spawner, self._spawner, self._due_at = self._spawner, None, None
        if spawner is not None:
            spawner.release()
        self._drop_control()

    def _start(self, spawner: Spawner) -> None:
        self._started_at = monotonic()
        # It has to be tried again unless all of this succeeds: memory may run out anywhere.
        self._due_at = self._started_at + _RETRY_S
        try:
            near, far = socket.socketpair()
            with far:
                self._control = ControlWriter(near)
                spawner.start(far)
            self._check_at = monotonic() + _CHECK_S
            for process in self._channels:
                self._renew(process)
            self.update(lambda facts: facts)
        except OSError as error:
            self._drop_control()
            if error.errno is None or error.errno == errno.EPIPE:
                _log.error("no admin process: %s", error)
                self._due_at = None
                return
            _log.error("cannot start the admin process: %s", reason(error))
        except BaseException:
            # One that has started ends with its channel.
            self._drop_control()
            raise
        else:
            self._due_at = None

    def _renew(self, process: ServingProcess) -> None:
        """Give a serving process a new channel: the old one may be full of half an answer."""
        ends = self._channels[process]
        self._unsettled[process] = False
        if not ends:
            return
        old = ends[-1]
        try:
            near, far = socket.socketpair()
        except OSError as error:
            _log.debug("no channel to PID %d: %s", process.pid, error)
            return
        with far:
            try:
                # Lets an answer fail that nothing reads any more.
                old.shutdown(socket.SHUT_RD)
                socket.send_fds(old, [_REPLACED], [far.fileno()])
            except OSError as error:
                _log.debug("no channel to PID %d: %s", process.pid, error)
                near.close()
                return
        ends.append(near)
        self._unsettled[process] = True
        self._introduce(process, near)

    def _settle(self, process: ServingProcess) -> None:
        """Close the channels that are over, and replace one that was lost on its way."""
        ends = self._channels[process]
        last = ends[-1:]
        for end in [each for each in ends if hung_up([each.fileno()])]:
            ends.remove(end)
            end.close()
        if not ends:
            # It has ended, and will be reaped.
            del self._unsettled[process]
        elif not self._unsettled[process] or ends[-1:] != last:
            self._renew(process)
        elif len(ends) == 1:
            del self._unsettled[process]

    def _forget(self, process: ServingProcess) -> None:
        self._unsettled.pop(process, None)
        for end in self._channels.pop(process):
            end.close()

    def _introduce(self, process: ServingProcess, channel: socket.socket) -> None:
        if self._control is not None and not self._control.introduce(process, channel.fileno()):
            # It does not read: let it end, to be replaced.
            self._drop_control()

    def _drop_control(self) -> None:
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.close()
            self._control = None
