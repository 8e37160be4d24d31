"""The admin process in a thread of the test, beside serving processes that the test plays."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from mogstored.admin.control import ControlWriter, NodeFacts, ServingProcess
from mogstored.admin.process import AdminProcess
from mogstored.log.bounded_writer import BoundedWriter
from mogstored.observability.frames import frame
from mogstored.observer import REQUEST, Observer
from tests.support.http import Response, ask, compose
from tests.support.snapshots import FACTS, snapshot
from tests.support.threads import join
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogstored.observability.snapshot import ProcessSnapshot
    from tests.support.daemon import Address


S = TypeVar("S", "Serving", "Mute")


class Serving:
    """A serving process with an observer; `counters` is what it answers, `asked` how often."""

    def __init__(self, number: int, pid: int) -> None:
        self.process = ServingProcess(number, pid)
        self.counters = snapshot(pid=pid, number=number)
        self.asked = 0
        self.near, far = socket.socketpair()
        self._observer = Observer(far, self._collect)
        self._observer.start()

    def _collect(self) -> bytes:
        self.asked += 1
        return self.counters.encode()

    def end(self) -> None:
        """End with a last snapshot."""
        self._observer.stop()


class Mute:
    """A serving process that answers when the test lets it."""

    def __init__(self, number: int, pid: int) -> None:
        self.process = ServingProcess(number, pid)
        self.near, self._far = socket.socketpair()
        self._far.settimeout(PATIENCE_S)

    def await_request(self) -> None:
        assert self._far.recv(1) == REQUEST

    def answer(self, counters: ProcessSnapshot) -> None:
        content = counters.encode()
        self._far.sendall(frame(content))

    def end(self) -> None:
        """End as one that is killed."""
        self._far.close()


class AdminRig:
    """An admin process with one listener."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addr: Address = self.listener.getsockname()
        near, far = socket.socketpair()
        self.control = ControlWriter(near)
        self._far = far
        log = BoundedWriter(_Nowhere(), lambda _: b"")
        self.admin = AdminProcess(far, [self.listener], log)
        self._thread = threading.Thread(target=self.admin.run, daemon=True)
        self._serving: list[Serving | Mute] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.control.close()
        join(self._thread)
        self._far.close()
        for process in self._serving:
            process.end()
            process.near.close()
        self.listener.close()

    def update(self, facts: NodeFacts = FACTS) -> None:
        assert self.control.send_facts(facts)

    def serve(self, number: int = 0, pid: int = 1001) -> Serving:
        return self._show(Serving(number, pid))

    def be_mute(self, number: int = 0, pid: int = 1001) -> Mute:
        return self._show(Mute(number, pid))

    def get(self, path: str, *fields: str) -> Response:
        return ask(self.addr, compose("GET", path, *fields))

    def _show(self, process: S) -> S:
        self._serving.append(process)
        assert self.control.introduce(process.process, process.near.fileno())
        return process


class _Nowhere:
    def take(self, _message: bytes) -> bool:
        return True

    def finish(self) -> bool:
        return True

    def abandon(self) -> None:
        pass

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


@contextmanager
def admin_rig() -> Iterator[AdminRig]:
    with contextlib.ExitStack() as stack:
        rig = stack.enter_context(AdminRig())
        rig.update()
        yield rig
