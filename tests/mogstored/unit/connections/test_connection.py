"""A connection with errors of its socket, and its name in the log."""

from __future__ import annotations

import errno
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.connections.connection import Connection
from tests.support.sockets import stream_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_BUFFERS = cast("Buffers", None)


class Failing(Connection):
    """A connection whose step raises `error`, or returns `verdict`."""

    error: OSError | None = None
    verdict = Next.READ

    def advance(self, _buffers: Buffers) -> Next:
        if self.error is not None:
            raise self.error
        return self.verdict

    def send_ahead(self) -> None: ...

    def cancel(self) -> None: ...

    def detach(self) -> Callable[[], None]:
        return lambda: None


@pytest.fixture
def connection() -> Iterator[Failing]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        sock, _ = listener.accept()
        clients: Any = SimpleNamespace(note_closed=lambda _connection: None)
        with client, sock:
            yield Failing(sock, clients)


@pytest.mark.parametrize(
    "number",
    [
        errno.ECONNRESET,
        errno.EPIPE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.EHOSTDOWN,
    ],
    ids=lambda number: errno.errorcode[number],
)
def test_client_that_has_gone_is_closed(connection: Failing, number: int) -> None:
    connection.error = OSError(number, "gone")
    assert connection.step(NO_BUFFERS) is Next.CLOSE


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT, errno.EBADF, errno.EMFILE])
def test_other_errors_are_shown(connection: Failing, number: int) -> None:
    connection.error = OSError(number, "a fault")
    with pytest.raises(OSError, match="a fault"):
        connection.step(NO_BUFFERS)


@pytest.mark.parametrize("verdict", [Next.READ, Next.WRITE, Next.AGAIN])
def test_step_counts_as_activity(connection: Failing, verdict: Next) -> None:
    connection.active_at -= 60
    connection.verdict = verdict
    assert connection.has_been_silent(30)
    assert connection.step(NO_BUFFERS) is verdict
    assert not connection.has_been_silent(30)


def test_step_that_only_waits_on_does_not(connection: Failing) -> None:
    connection.active_at -= 60
    connection.verdict = Next.PARKED
    assert connection.step(NO_BUFFERS) is Next.PARKED
    assert connection.has_been_silent(30)


def test_name_in_the_log(connection: Failing) -> None:
    host, port = connection.sock.getpeername()
    assert connection.peer() == f"{host}:{port}"
    connection.close()
    assert connection.peer() == "unknown peer"
    connection.hang_up()


def test_name_in_the_log_of_a_client_over_ipv6() -> None:
    sock: Any = SimpleNamespace(getpeername=lambda: ("::1", 7500, 0, 0))
    assert Failing(sock, cast("Any", None)).peer() == "[::1]:7500"


def test_hang_up_is_seen_as_the_end() -> None:
    with stream_pair() as (near, far):
        Failing(near, cast("Any", None)).hang_up()
        assert far.recv(1) == b""
        assert near.recv(1) == b""
