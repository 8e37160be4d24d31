"""What each command of the sidechannel does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mogpoll import Next
from mogstored.connection import Workspace
from mogstored.sidechannel.checksum import Checksum
from mogstored.sidechannel.command import (
    Command,
    Digest,
    Reply,
    SetThreads,
    Shutdown,
    Size,
    Watch,
)
from mogstored.sidechannel.target import Target
from mogstored.sidechannel.watchers import Stream

if TYPE_CHECKING:
    from mogstored.sidechannel.session import SidechannelSession

_log = logging.getLogger("mogstored")


def perform(session: SidechannelSession, command: Command, workspace: Workspace) -> Next:
    """Carry `command` out, as far as this step can; the session has no other work."""
    service = session.service
    match command:
        case Size(path):
            return session.begin(_Sizing(Target(service, path)), workspace)
        case Digest():
            return session.begin(Checksum(service, command), workspace)
        case SetThreads(count):
            if count is not None:
                service.set_aio_threads(count)
                _log.info("server aio_threads=%d", count)
            return session.answer(b"")
        case Shutdown():
            service.request_stop()
            return session.finish()
        case Reply(text):
            return session.answer(text)
        case Watch():
            return session.begin(Stream(service.watchers), workspace)


class _Sizing:
    """A question for the size of a file, which may have to wait for a slot of its device."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def advance(self, session: SidechannelSession, _workspace: Workspace) -> Next:
        target = self._target
        if not target.device.enter(session, has_nothing=True):
            return Next.PARKED
        try:
            size = target.size()
        except OSError:
            size = -1
        finally:
            target.device.leave()
        return session.answer(b"%b %d" % (target.path, size))

    def abandon(self, _session: SidechannelSession) -> None:
        """Nothing is held."""
